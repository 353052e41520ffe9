package dashboards

import (
	"fmt"
	"strings"
	"testing"
)

// all runs every ClickHouse query of a dashboard and says which panels have no row.
func (s server) all(uid string, v Vars) (empty []string) {
	s.t.Helper()
	boards, err := All()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range boards {
		if d.UID() != uid {
			continue
		}
		for _, p := range d.Targets() {
			if p.Datasource != ClickHouse {
				continue
			}
			if len(s.answer(p, v).Data) == 0 && p.Panel > 0 {
				empty = append(empty, p.Title)
			}
		}
		return empty
	}
	s.t.Fatalf("no dashboard %s", uid)
	return nil
}

// unknown are choices that no drop, language or model has, in every script.
var unknown = map[string][]string{"drop": {`no'drop"\🦊`}, "language": {"ع'"}, "creator": {`\`}, "model": {"'; --"}, "pop": {"שלום"}, "currency": {"€'"}}

// TestLocalization has a drop of 24 h, so that its windows are those of the rules: 15 min and 6 h.
func TestLocalization(t *testing.T) {
	s := newServer(t)
	const day = 86_400_000
	s.exec(fmt.Sprintf("INSERT INTO drops (drop_id, creator_id, version, starts, ends) VALUES ('d', 'ada', 1, fromUnixTimestamp64Milli(%d), fromUnixTimestamp64Milli(%d))", start, start+day))
	pane := func(language string, at int64, revision, expected, good int, maturity string, more string) {
		s.exec(fmt.Sprintf(`INSERT INTO localization (drop_id, language, same_language, partition, pane_start, pane_ms, revision, watermark, maturity, expected, good%s)
			SELECT 'd', '%s', '%s' = 'en', 0, fromUnixTimestamp64Milli(%d), 15000, %d, fromUnixTimestamp64Milli(%d), '%s', %d, %d%s`,
			columnsOf(more), language, language, start+at, revision, start+at+75_000, maturity, expected, good, valuesOf(more)))
	}
	// de: 100 cues in the first minute, 10 of them bad: 6 missing of which 2 unreported, 4 slow. Then 100 good ones 20 min later.
	pane("de", 0, 1, 60, 60, "provisional", "") // replaced
	pane("de", 0, 2, 60, 50, "final", "missing=6 unreported=2 slow=4 latency_index=[300,400] latency_count=[50,10]")
	pane("de", 30_000, 1, 40, 40, "final", "latency_index=[300] latency_count=[40]")
	pane("de", 1_200_000, 1, 100, 100, "provisional", "latency_index=[300] latency_count=[100]")
	pane("en", 0, 1, 40, 20, "final", "slow=20 dense=20 latency_zero=40")
	whole := Vars{From: start, To: start + 3_600_000, IntervalS: 60, Values: map[string][]string{"drop": {"d"}}}
	of := func(language string) Vars {
		v := whole
		v.Values = map[string][]string{"drop": {"d"}, "language": {language}}
		return v
	}

	s.want("Good cues", whole,
		"time=2026-03-02 12:00:00 language=de good=0.9 provisional=<nil>",
		"time=2026-03-02 12:00:00 language=en good=0.5 provisional=<nil>",
		"time=2026-03-02 12:20:00 language=de good=<nil> provisional=1")
	// Bin i stands for γ^i · 1.01 with γ = 1.01/0.99: 407.54 and 3,011.57 ms. Of 100 the 96th (rank 94.05) is among the ten late ones.
	s.want("Cue latency", of("de"),
		"time=2026-03-02 12:00:00 language=de p50=407.544587 p95=3011.570594 p99=3011.570594",
		"time=2026-03-02 12:20:00 language=de p50=407.544587 p95=407.544587 p99=407.544587")
	s.want("What is wrong with bad cues", whole,
		"language=en missing=0 unreported=0 slow=0.5 early=0 brief=0 long=0 dense=0.5 wordy=0 maturity=final",
		"language=de missing=0.02 unreported=0.01 slow=0.02 early=0 brief=0 long=0 dense=0 wordy=0 maturity=provisional")

	// 10 of 60 bad at 5 % allowed burn at 3.33; with the other 40 at 2; after 20 min they have left the window of 15 min,
	// but not the one of 6 h: 10 of 200. 5 % of a day in 15 min are 4.8, 25 % in 6 h are 1.
	s.want("Burn over the window that pages", of("de"),
		"time=2026-03-02 12:00:00 language=de burn=2 factor=4.8",
		"time=2026-03-02 12:20:00 language=de burn=0 factor=4.8")
	s.want("Burn over the window that opens tickets", whole,
		"time=2026-03-02 12:00:00 language=de burn=2 factor=1",
		"time=2026-03-02 12:00:00 language=en burn=<nil> factor=1", // 40 cues are too few
		"time=2026-03-02 12:20:00 language=de burn=1 factor=1")

	for i, chosen := range []string{"ticket", "page", "ok"} {
		s.exec(fmt.Sprintf("INSERT INTO decisions (drop_id, topic, subject, at, chosen, kafka_time) VALUES ('d', 'burn_rate', 'de', fromUnixTimestamp64Milli(%d), '%s', now64(3))", start+int64(i+1)*600_000, chosen))
	}
	s.exec(fmt.Sprintf("INSERT INTO decisions (drop_id, topic, subject, at, chosen, kafka_time) VALUES ('d', 'burn_rate', '', fromUnixTimestamp64Milli(%d), 'no_data', now64(3)), ('d', 'pace', 'de', fromUnixTimestamp64Milli(%[1]d), 'page', now64(3))", start+900_000))
	late := of("de")
	late.From = start + 1_000_000
	s.want("Decisions about burn rates", late, // how it stood when the range begins
		"time=2026-03-02 12:16:40.000 language=* state=1",
		"time=2026-03-02 12:16:40.000 language=de state=2",
		"time=2026-03-02 12:20:00.000 language=de state=3",
		"time=2026-03-02 12:30:00.000 language=de state=0")
	late.To = start + 1_100_000
	late.Values = map[string][]string{"drop": {"d"}, "language": {"en"}}
	s.want("Decisions about burn rates", late, "time=2026-03-02 12:16:40.000 language=* state=1", "time=2026-03-02 12:16:40.000 language=en state=0")

	estimate := func(metric, dimensions string, revision int, at int64, value, low, high, p, details string) {
		s.exec(fmt.Sprintf(`INSERT INTO estimates (drop_id, creator_id, metric, dimensions, revision, as_of, from, maturity, enough, n, value, low, high, p, details, confidence, kafka_time)
			VALUES ('d', 'ada', '%s', %s, %d, fromUnixTimestamp64Milli(%d), fromUnixTimestamp64Milli(%d), 'provisional', %s, 200, %s, %s, %s, %s, %s, 0.95, now64(3))`,
			metric, dimensions, revision, start+at, start, fmt.Sprint(value != "NULL"), value, low, high, p, details))
	}
	estimate("cue_budget_remaining", "{'language':'de'}", 1, 60_000, "-1", "-2", "0", "NULL", "{'spent_of_drop':0.1,'burn':2,'exhausted_in_ms':38880000}")
	estimate("cue_budget_remaining", "{'language':'de'}", 2, 1_260_000, "0", "-0.8", "0.45", "NULL", "{'spent_of_drop':0.015,'exhausted_in_ms':-1}")
	s.want("Error budget left", whole, "language=de remaining=0 remaining_low=-0.8 remaining_high=0.45 spent=0.015 burn=<nil> lasts_ms=<nil> cues=200 why= as_of=2026-03-02 12:21:00.000 maturity=provisional")
	early := whole
	early.To = start + 61_000
	s.want("Error budget left", early, "language=de remaining=-1 remaining_low=-2 remaining_high=0 spent=0.1 burn=2 lasts_ms=3.888e+07 cues=200 why= as_of=2026-03-02 12:01:00.000 maturity=provisional")

	// Two looks in one step, of which the newer counts, then an alarm that hides the effect.
	effect, split := "{'experiment':'cta','language':'de','variant':'b'}", "{'experiment':'cta','language':'de'}"
	estimate("experiment_effect", effect, 1, 60_000, "0.5", "-1", "2", "0.7", "{}")
	estimate("experiment_effect", effect, 2, 90_000, "0.75", "-0.5", "2", "0.4", "{}")
	estimate("experiment_effect", effect, 3, 180_000, "NULL", "NULL", "NULL", "NULL", "{}")
	estimate("experiment_srm", split, 2, 90_000, "0.1", "0.1", "0.1", "0.9", "{'alarm':0}")
	estimate("experiment_srm", split, 3, 180_000, "14", "14", "14", "0.0001", "{'alarm':1}")
	s.want("Effect on conversion, look by look", of("de"),
		"time=2026-03-02 12:01:00 arm=cta de b effect=0.75 low=-0.5 high=2", "time=2026-03-02 12:03:00 arm=cta de b effect=<nil> low=<nil> high=<nil>")
	s.want("Always-valid p of each variant", whole, "time=2026-03-02 12:01:00 arm=cta de b p=0.4", "time=2026-03-02 12:03:00 arm=cta de b p=<nil>")
	s.want("Sample-ratio test", whole, "time=2026-03-02 12:01:00 split=cta de p=0.9", "time=2026-03-02 12:03:00 split=cta de p=0.0001")
	s.want("Sample-ratio test", of("fr"))
	s.exec("INSERT INTO experiments (drop_id, experiment_id, language, variant, partition, revision, maturity, refund_maturity, exposed, converted, sample_rate) VALUES ('d', 'cta', 'de', 'a', 0, 1, 'final', 'final', 100, 10, 1)")

	if empty := s.all("droplift-localization", whole); len(empty) > 0 {
		t.Errorf("empty panels: %q", empty)
	}
	future := Vars{From: start + 400*day, To: start + 401*day, Values: whole.Values}
	s.all("droplift-localization", future)
	if empty := s.all("droplift-localization", Vars{From: start, To: start, Values: unknown}); len(empty) != 13 {
		t.Errorf("an unknown drop has rows: only %q are empty", empty)
	}
}

// columnsOf and valuesOf read "column=value column=value" as the ends of an INSERT.
func columnsOf(more string) (columns string) {
	for _, field := range strings.Fields(more) {
		column, _, _ := strings.Cut(field, "=")
		columns += ", " + column
	}
	return columns
}

func valuesOf(more string) (values string) {
	for _, field := range strings.Fields(more) {
		_, value, _ := strings.Cut(field, "=")
		values += ", " + value
	}
	return values
}

package dashboards

import (
	"fmt"
	"math"
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
		"time=2026-03-02 12:16:40.000 language=de state=2",
		"time=2026-03-02 12:20:00.000 language=de state=3",
		"time=2026-03-02 12:30:00.000 language=de state=0")
	late.To = start + 1_100_000
	late.Values = map[string][]string{"drop": {"d"}, "language": {"en"}}
	s.want("Decisions about burn rates", late, "time=2026-03-02 12:16:40.000 language=en state=0")
	// Languages with few cues are shown once their joint burn has been more than "no cues" or ok.
	s.exec(fmt.Sprintf("INSERT INTO decisions (drop_id, topic, subject, at, chosen, kafka_time) VALUES ('d', 'burn_rate', '', fromUnixTimestamp64Milli(%d), 'ticket', now64(3))", start+1_050_000))
	s.want("Decisions about burn rates", late, "time=2026-03-02 12:16:40.000 language=en state=0", "time=2026-03-02 12:16:40.000 language=few cues state=1",
		"time=2026-03-02 12:17:30.000 language=few cues state=2")

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
	cueTimes(s, whole)
}

func cueTimes(s server, v Vars) {
	// The stream goes on until its cues are half an hour behind the newest data.
	times := func(newest, last string) {
		s.want("dashboard_drop_times", v, "starts=2026-03-02 12:00:00.000 ends=2026-03-03 12:00:00.000 newest="+newest+" first_cue=2026-03-02 12:00:00.000 last_cue="+last)
	}
	times("<nil>", "2026-03-02 12:20:15.000")
	s.velocity(pane{drop: "d", pop: "fra", start: start + 3_000_000, width: 10_000, revision: 1, maturity: "final"})
	times("2026-03-02 12:50:10.000", "2026-03-02 12:50:10.000")
	s.velocity(pane{drop: "d", pop: "fra", start: start + 3_010_000, width: 10_000, revision: 1, maturity: "final"})
	times("2026-03-02 12:50:20.000", "2026-03-02 12:20:15.000")
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

// copied makes the copies that screens read, which are otherwise made by the clock.
func (s server) copied(views ...string) {
	s.t.Helper()
	for _, v := range views {
		s.exec("SYSTEM REFRESH VIEW " + v)
		s.exec("SYSTEM WAIT VIEW " + v)
	}
}

// TestCohorts is DOMAIN 3.1's example, a tenth of it: 100 members of one week, gross by age 150.00, 60.00 and 30.00, of which 10.00
// bought at age 0 are refunded at age 1: per member 1.50, 2.00 and 2.30.
func TestCohorts(t *testing.T) {
	s := newServer(t)
	const day, week = 86_400_000, 7 * 86_400_000
	s.exec(fmt.Sprintf("INSERT INTO drops (drop_id, creator_id, version, starts, ends, name) VALUES ('d', 'ada', 1, fromUnixTimestamp64Milli(%d), fromUnixTimestamp64Milli(%d), '\\'Ünï 🦊')", start, start+day))
	// The start is a Monday noon, so that the week ends at start + 6.5 d. Who comes a week later is the next cohort.
	s.exec(fmt.Sprintf("INSERT INTO member_activity SELECT concat('p', toString(number)), 'd', 'ada', fromUnixTimestamp64Milli(%d) + toIntervalMillisecond(number) FROM numbers(100)", start))
	s.exec(fmt.Sprintf("INSERT INTO member_activity SELECT 'late', 'd', 'ada', fromUnixTimestamp64Milli(%d)", start+week))
	buy := func(player, kind string, at, original int64, amount int) {
		s.exec(fmt.Sprintf(`INSERT INTO purchases (player_id, event_id, type, checkout_id, drop_id, creator_id, effective_time, original_time, amount, currency, amount_reporting, reporting_currency, version)
			VALUES ('%s', generateUUIDv4(), '%s', '%[1]s', 'd', 'ada', fromUnixTimestamp64Milli(%[3]d), fromUnixTimestamp64Milli(%[4]d), %[5]d, 'USD', %[5]d, 'USD', 1)`, player, kind, start+at, start+original, amount))
	}
	buy("p1", "completed", 1000, 1000, 10_000)
	buy("p2", "completed", week, week, 5_000) // the last moment of age 0: p2 came 2 ms after the start
	buy("p3", "completed", week+1000, week+1000, 6_000)
	buy("p4", "completed", 2*week+1000, 2*week+1000, 3_000)
	buy("p1", "refunded", week+2000, 1000, -1_000)
	for i, at := range []int64{day, day + 1, 2 * day} { // two sessions of p0 on its first day of age are one return
		s.exec(fmt.Sprintf("INSERT INTO player_sessions (player_id, started, session_id) VALUES ('p0', fromUnixTimestamp64Milli(%d), 's%d')", start+at, i))
	}
	// The watermark is 10.001 s behind: age 2 of the week's cohort matures at its end and three weeks.
	reach := func(at int64) {
		s.exec(fmt.Sprintf("INSERT INTO player_events (event_time, ingest_time, kafka_time, player_id, synthetic) SELECT fromUnixTimestamp64Milli(%d) AS t, t, t, '', true", start+at))
		s.copied("ltv_copying", "retention_copying", "ltv_spread_copying", "drop_roi_copying")
	}
	matures := int64(13*day/2 + 3*week + 10_001)
	reach(matures - 1)
	early := Vars{From: start, To: start + day, Values: map[string][]string{"drop": {"d"}}}
	if got := s.run("Lifetime value by age", early).Data; len(got) != 2 {
		t.Errorf("a moment before age 2 is mature: %v", got)
	}
	reach(matures)
	for i, row := range s.run("Lifetime value by age", early).Data {
		oldest := []float64{1.5, 2, 2.3}[i]
		// The week of the latecomer, who paid nothing, is mature up to age 1.
		newest, one := any(0.0), row["1 earlier"]
		if i == 2 {
			newest = nil
		}
		if row["age"] != float64(i) || row["newest"] != newest || one != oldest || row["2 earlier"] != nil {
			t.Errorf("age %d: %v", i, row)
		}
	}
	cells := s.run("Cohorts by age", early).Data
	if len(cells) != 2 || cells[1]["cohort"] != "2026-W10" || cells[1]["members"] != 100.0 || cells[1]["age 2"] != 2.3 || cells[1]["age 3"] != nil ||
		cells[0]["age 1"] != 0.0 || cells[0]["age 2"] != nil || cells[0]["next_mature"] != "2026-04-06 00:00:00.000" {
		t.Errorf("triangle %v", cells)
	}
	byCreator := early
	byCreator.Values = map[string][]string{"drop": {"d"}, "cohort": {"creator"}}
	if got := s.run("Cohorts by age", byCreator).Data; len(got) != 1 || got[0]["cohort"] != "ada" || got[0]["members"] != 101.0 {
		t.Errorf("by creator %v", got)
	}
	back := s.run("Retention by day of age", early).Data
	if len(back) != 20 || back[0]["1 earlier"] != 0.01 || back[1]["1 earlier"] != 0.01 || back[2]["1 earlier"] != 0.0 {
		t.Errorf("retention %v", back)
	}
	// Wilson of 1 of 100.
	readout := s.run("Retention read-out", early).Data
	if len(readout) != 2 || math.Abs(readout[1]["day_1_low"].(float64)-0.001767) > 1e-6 || math.Abs(readout[1]["day_1_high"].(float64)-0.054485) > 1e-5 {
		t.Errorf("retention read-out %v", readout)
	}
	// 100 and 50 in their first week among 100: a mean of 1.50 with a median of 0, all from the top 1 % but a third.
	s.want("How unevenly the value of a member's first week is spread", early,
		"cohort=2026-W11 members=1 payers_share=0 mean=0 median=0 winsorised_mean=0 top_share=<nil> reporting_currency=USD",
		"cohort=2026-W10 members=100 payers_share=0.02 mean=1.5 median=0 winsorised_mean=1.5 top_share=0.666667 reporting_currency=USD")
	s.want("Return of drops", early, "drop_id=d name='Ünï 🦊 creator=ada currency=USD checkouts=4 gross=240 refunds=-10 chargebacks=0 net_revenue=230"+
		" creator_shares=<nil> tax_and_fees=<nil> edge_cost=<nil> localization_cost=<nil> margin=230 margin_of_gross=0.958333 not_recorded=creator shares, edge cost, localization cost maturity=final")

	// Two fits, of which the newer counts.
	for i, p := range []struct {
		fit            string
		repeats        int
		alive, value   float64
		player, asOfMS string
	}{{"old", 0, 0.1, 100, "a", "1"}, {"new", 0, 0.5, 400, "a", "2"}, {"new", 0, 0.7, 600, "b", "2"}, {"new", 9, 0.9, 1000, "c", "2"}} {
		s.exec(fmt.Sprintf("INSERT INTO lifetimes (model, fit, player_id, currency, revision, as_of, repeats, horizon, p_alive, purchases, value) VALUES ('bgbb', '%s', '%s', 'USD', %d, fromUnixTimestamp64Milli(%s), %d, 5, %v, 2, %v)",
			p.fit, p.player, i, p.asOfMS, p.repeats, p.alive, p.value))
	}
	s.want("Predicted lifetime value", early,
		"model=bgbb creator= currency=USD repeats=0 buyers=2 alive=0.6 purchases=2 value=5 horizon=5 as_of=1970-01-01 00:00:00.002",
		"model=bgbb creator= currency=USD repeats=7+ buyers=1 alive=0.9 purchases=2 value=10 horizon=5 as_of=1970-01-01 00:00:00.002")
	// Twenty buyers are predicted 0, 0.5, … 9.5 purchases in two weeks: two in each decile. Of the highest one buys in time, and
	// one too late; what comes of 9.25 by chance is 0.5 ± 1.96 · √(9.25 / 2). The fit by drops waits for four drops more.
	s.exec(fmt.Sprintf(`INSERT INTO lifetimes (model, fit, player_id, currency, revision, as_of, horizon, purchases, mean_spend)
		SELECT 'bgnbd', 'weeks', concat('q', leftPad(toString(number), 2, '0')), 'USD', 1, fromUnixTimestamp64Milli(%d), 2, number / 2, 500 FROM numbers(20)`, start))
	for player, at := range map[string]int64{"q18": day, "q19": 2 * week, "q01": 2*week - 1, "q00": 3 * day} {
		buy(player, "completed", at, at, 300)
	}
	s.copied("ltv_calibration_copying")
	tenths := s.run("Predicted against observed", early).Data
	if len(tenths) != 13 || tenths[0]["verdict"] != "too young" || tenths[0]["observed"] != nil || tenths[0]["low"] != nil || tenths[0]["so_far"] != 0.0 || tenths[0]["passed"] != 0.2 || tenths[2]["decile"] != 3.0 {
		t.Fatalf("deciles %v", tenths)
	}
	for i, want := range map[int]map[string]any{
		3:  {"decile": 1.0, "buyers": 2.0, "predicted": 0.25, "observed": 1.0, "low": 0.307, "high": 1.693, "verdict": "more came", "so_far": 1.0, "passed": 1.0, "predicted_spend": 1.25, "observed_spend": 3.0},
		4:  {"decile": 2.0, "predicted": 1.25, "observed": 0.0, "low": 0.0, "high": 1.5495, "verdict": "as predicted"},
		12: {"decile": 10.0, "predicted": 9.25, "observed": 0.5, "low": 0.0, "high": 4.7151, "verdict": "fewer came", "predicted_spend": 46.25, "observed_spend": 1.5},
	} {
		for column, value := range want {
			got := tenths[i][column]
			if f, ok := got.(float64); ok {
				got = math.Round(f*1e4) / 1e4
			}
			if got != value {
				t.Errorf("row %d of the calibration: %s is %v, want %v", i, column, got, value)
			}
		}
	}
	// Another fit is too young, and the one before stays beside it.
	s.exec(fmt.Sprintf(`INSERT INTO lifetimes (model, fit, player_id, currency, revision, as_of, horizon, purchases)
		SELECT 'bgnbd', 'again', concat('q', leftPad(toString(number), 2, '0')), 'USD', 2, fromUnixTimestamp64Milli(%d), 8, 1 FROM numbers(20)`, start+week))
	s.copied("ltv_calibration_copying")
	tenths = s.run("Predicted against observed", early).Data
	if len(tenths) != 23 || tenths[3]["verdict"] != "too young" || tenths[12]["so_far"] != 0.5 || tenths[13]["verdict"] != "more came" {
		t.Errorf("deciles of two fits %v", tenths)
	}
	if empty := s.all("droplift-cohorts", early); len(empty) > 0 {
		t.Errorf("empty panels: %q", empty)
	}
	s.all("droplift-cohorts", Vars{From: start, To: start, Values: unknown})
}

// TestModels has ten scores of one version beside a shadow, half of whose players churned.
func TestModels(t *testing.T) {
	s := newServer(t)
	s.drop("d", "ada")
	whole := Vars{From: start, To: start + 3_600_000, IntervalS: 600, Values: map[string][]string{"drop": {"d"}, "model": {"it's"}}}
	s.exec(fmt.Sprintf(`INSERT INTO rollouts (name, champion, shadow, action, at, kafka_offset) VALUES
		('it\'s', 'v1', '', 'promote', fromUnixTimestamp64Milli(%d), 1), ('it\'s', 'v1', 'v2', 'shadow', fromUnixTimestamp64Milli(%d), 2),
		('other', 'x', '', 'promote', fromUnixTimestamp64Milli(%[2]d), 3), ('it\'s', 'v2', '', 'promote', fromUnixTimestamp64Milli(%[3]d), 4)`, start-1000, start+60_000, start+4_000_000))
	// Bins of training: up to 1 and above, half of the rows each, none missing; nine of ten scores are above.
	const artefact = `{"training":{"rows":100},"reference":[{"name":"gap","edges":[1],"shares":[0.5,0.5],"missing":0}],"metrics":{"auc":0.75,"slope":1.1},"features":{"names":["gap"]}}`
	s.exec("INSERT INTO models (name, version, kind, feature_hash, artefact, published_at) VALUES ('it\\'s', 'v1', 'logistic', 'h', '" + artefact + "', '2026-03-01 00:00:00')")
	s.exec("INSERT INTO feature_sets (hash, name, version, names, nullable) VALUES ('h', 'player', 1, ['gap'], [true])")
	for range 2 { // every score comes twice
		s.exec(fmt.Sprintf(`INSERT INTO score_events (id, type, event_time, ingest_time, player_id, model, model_version, feature_hash, feature_revision, feature_as_of, vector, p, shadow_version, shadow_p, champion_us, shadow_us)
			SELECT toUUID(concat('00000000-0000-0000-0000-00000000000', toString(number))), 'answered', fromUnixTimestamp64Milli(%d) + toIntervalSecond(number) AS at, at, concat('p', toString(number)), 'it\'s', 'v1', 'h', 1, at - toIntervalSecond(5),
			[if(number = 0, 0.5, 2.)], number / 10, 'v2', number / 10 + 0.05, 2, 4 FROM numbers(10)`, start))
		s.exec(fmt.Sprintf(`INSERT INTO examples (model, model_version, player_id, scored_at, churned, p, shadow_version, shadow_p)
			SELECT 'it\'s', 'v1', concat('p', toString(number)), fromUnixTimestamp64Milli(%d) + toIntervalSecond(number), number >= 5, number / 10, 'v2', number / 10 + 0.05 FROM numbers(10)`, start))
	}
	s.exec(fmt.Sprintf(`INSERT INTO features (player_id, revision, as_of, watermark, gap_mean_s, latency_mean_ms_1h, kafka_partition) SELECT concat('p', toString(number %% 10)), 1 + intDiv(number, 10) AS r, fromUnixTimestamp64Milli(%d) + toIntervalSecond(number %% 10) - toIntervalSecond(5),
		fromUnixTimestamp64Milli(%[1]d), if(r = 2 AND number < 14, 7, NULL), 3, 2 FROM numbers(20)`, start))
	s.velocity(pane{drop: "d", pop: "fra", start: start + 60_000, width: 10_000, revision: 1, maturity: "final"})

	s.want("Who answers", whole, "time=2026-03-02 12:00:00.000 champion=v1 shadow=", "time=2026-03-02 12:01:00.000 champion=v1 shadow=v2")
	s.want("Scores", whole, "time=2026-03-02 12:00:00 answered=v1 scores=10")
	s.want("Probabilities", whole, "time=2026-03-02 12:00:00 voice=champion v1 p10=0.1 p50=0.5 p90=0.9", "time=2026-03-02 12:00:00 voice=shadow v2 p10=0.15 p50=0.55 p90=0.95")
	// Said 0.45 and 0.5 on average where 5 of 10 churned, whose Wilson interval is 0.236593 to 0.763407.
	s.want("Calibration over time", whole,
		"time=2026-03-02 12:00:00 voice=champion v1 ratio=1.111111 low=0.525762 high=1.69646",
		"time=2026-03-02 12:00:00 voice=shadow v2 ratio=1 low=0.473186 high=1.526814")
	for _, row := range s.run("Reliability", whole).Data {
		said := row["said"].(float64)
		came, role := row["champion"], math.Mod(math.Round(said*100), 10)
		if role == 5 {
			came = row["shadow"]
		}
		churned := 0.0
		if said >= 0.5 {
			churned = 1
		}
		if came != churned || row["perfect"] != said {
			t.Errorf("reliability %v", row)
		}
	}
	// One of ten below the edge against half: with half a row more in each bin (9.5/11 − 50.5/101)·ln(…) + (1.5/11 − 50.5/101)·ln(…).
	want := (9.5/11-.5)*math.Log(9.5/11/.5) + (1.5/11-.5)*math.Log(1.5/11/.5)
	drift := s.run("Drift against training", whole).Data
	if len(drift) != 1 || math.Abs(drift[0]["psi"].(float64)-want) > 1e-9 || drift[0]["scores"] != 10.0 || drift[0]["missing"] != 0.0 || drift[0]["feature"] != "gap" {
		t.Errorf("drift %v, want a PSI of %v", drift, want)
	}
	// The watermark of velocity is 90 s on, that of the features at the start.
	s.want("Freshness of features", whole, "partition=2 newest=2026-03-02 12:00:04.000 watermark=2026-03-02 12:00:00.000 behind_s=90 revisions=20")
	missing := map[any]any{}
	for _, row := range s.run("Missing values", whole).Data {
		missing[row["feature"]] = row["missing"]
	}
	if len(missing) != 10 || missing["gap_mean_s"] != 0.6 || missing["latency_mean_ms_1h"] != 0.0 || missing["gap_var_s2"] != 1.0 {
		t.Errorf("missing values %v", missing)
	}
	t.Run("drift of many scores", func(t *testing.T) { driftOfMany(server{t, s.url}) })
	if empty := s.all("droplift-models", whole); len(empty) > 0 {
		t.Errorf("empty panels: %q", empty)
	}
	s.all("droplift-models", Vars{From: start, To: start, Values: map[string][]string{"drop": {"d"}}})
	s.all("droplift-models", Vars{From: start, To: start, Values: unknown})
}

// A range of many scores is judged by every 16th, 32nd and so on, wherever that sample is read: the same scores come out either way.
func driftOfMany(s server) {
	const day = 86_400_000
	s.exec(fmt.Sprintf(`INSERT INTO score_events (id, type, event_time, ingest_time, model, model_version, vector, kafka_offset)
		SELECT reinterpretAsUUID(sipHash128(number)), 'answered', fromUnixTimestamp64Milli(%d) + toIntervalMillisecond(number) AS at, at, 'it\'s', 'v1', [if(number %% 4 = 0, -1, if(number %% 4 = 1, 0.5, 2.))], 1000 + number FROM numbers(170000)`, start+day))
	for scores, every := range map[int64]string{40_000: "8", 85_000: "16", 170_000: "32"} {
		v := Vars{From: start + day, To: start + day + scores, Values: map[string][]string{"drop": {"d"}, "model": {"it's"}}}
		in := fmt.Sprintf("SELECT count() AS n, countIf(vector[1] = -1) / n AS missing FROM score_events WHERE event_time >= fromUnixTimestamp64Milli(%d) AND event_time < fromUnixTimestamp64Milli(%d) AND cityHash64(id) %% %s = 0", v.From, v.To, every)
		want := s.answer(Target{Title: "sample", Query: in}, v).Data[0]
		got := s.run("Drift against training", v).Data
		if len(got) != 1 || got[0]["scores"] != want["n"] || got[0]["missing"] != want["missing"] {
			s.t.Errorf("%d scores: %v, want %v", scores, got, want)
		}
	}
}

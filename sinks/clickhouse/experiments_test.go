package clickhouse

import (
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/sql"
)

// storeExperiments writes DOMAIN 6's example, 400 and 470 conversions of 10,000, in two partitions with an older revision in
// the way, and an experiment whose sample ratio hides its effect.
func storeExperiments(t testing.TB, c *Client) {
	t.Helper()
	s := newSink(t, c)
	var arms, estimates []event.Record
	arm := func(experiment, variant string, partition int32, revision uint64, exposed, converted uint32) {
		a := event.ExperimentArm{DropID: "drop-1", ExperimentID: experiment, Variant: variant, Language: experiment[4:], Partition: partition,
			Revision: revision, Watermark: monday + int64(partition), Maturity: event.Final, Design: "9f3a1c7be02d4456",
			Exposed: exposed, Converted: converted, Refunded: converted / 20, SampleRate: 1}
		arms = append(arms, event.Record{Kind: event.KindExperimentArm, Offset: int64(len(arms)), Timestamp: monday, Value: a.AppendJSON(nil)})
	}
	arm("cta-fr", "a", 0, 1, 9999, 9999)
	arm("cta-fr", "a", 0, 2, 4000, 150)
	arm("cta-fr", "a", 1, 7, 6000, 250)
	arm("cta-fr", "b", 0, 3, 4000, 200)
	arm("cta-fr", "b", 1, 1, 6000, 270)
	arm("cta-de", "a", 0, 1, 1000, 30)
	arm("cta-de", "b", 1, 1, 50, 0)
	writeAll(t, newTestLoader(t, s, event.KindExperimentArm, 0), arms)

	estimate := func(metric, language, variant string, e event.Estimate) {
		e.DropID, e.Metric, e.AsOf, e.From, e.To, e.SampleRate, e.AlwaysValid = "drop-1", metric, monday+100, monday, monday+day, 1, true
		e.Dimensions = []event.Dimension{{Name: "experiment", Value: "cta-" + language}, {Name: "language", Value: language}}
		if variant != "" {
			e.Dimensions = append(e.Dimensions, event.Dimension{Name: "variant", Value: variant})
			e.Grade, e.Label, e.Confidence = event.GradeRandomizedITT, "caused, per offered player", 0.95
		}
		estimates = append(estimates, event.Record{Kind: event.KindEstimate, Offset: int64(len(estimates)), Timestamp: monday, Value: e.AppendJSON(nil)})
	}
	estimate("experiment_srm", "fr", "", event.Estimate{Revision: 2, Enough: true, Unit: "chi2", N: 20_000, P: 1,
		Details: []event.Detail{{Name: "chi2_p", Value: 1}, {Name: "alarm", Value: 0}}})
	estimate("experiment_effect", "fr", "b", event.Estimate{Revision: 1, Enough: true, Unit: "pp", Value: 9, P: .0001, Details: []event.Detail{{Name: "p_holm", Value: .0001}}})
	estimate("experiment_effect", "fr", "b", event.Estimate{Revision: 2, Enough: true, Unit: "pp", N: 20_000, Numerator: 870,
		Value: .7, Low: -.178, High: 1.578, P: .23798, Details: []event.Detail{{Name: "p_holm", Value: .23798}, {Name: "p_one_look", Value: .0152},
			{Name: "better", Value: .992373}, {Name: "loss_variant_pp", Value: 7.258e-4}, {Name: "control_n", Value: 10_000}, {Name: "variant_n", Value: 10_000}}})
	estimate("experiment_refund", "fr", "b", event.Estimate{Revision: 2, Unit: "pp", P: -1, Why: "fewer than 30 refunded players in an arm"})
	estimate("experiment_srm", "de", "", event.Estimate{Revision: 2, Enough: true, Unit: "chi2", N: 1050, Value: 859.5, P: 0,
		Details: []event.Detail{{Name: "chi2_p", Value: 0}, {Name: "alarm", Value: 1}}})
	estimate("experiment_effect", "de", "b", event.Estimate{Revision: 2, Unit: "pp", N: 1050, Numerator: 30, P: -1, Why: "the arms do not have the sizes that the split promises",
		Details: []event.Detail{{Name: "control_n", Value: 1000}, {Name: "variant_n", Value: 50}}})
	writeAll(t, newTestLoader(t, s, event.KindEstimate, 1), estimates)
}

func TestExperimentQueries(t *testing.T) {
	c := open(t)
	storeExperiments(t, c)
	rows := func(query string, columns []string, params Params) string {
		t.Helper()
		params["drop"] = "drop-1"
		var all strings.Builder
		if err := c.StreamQuery(t.Context(), &all, query, "TSVWithNames", params); err != nil {
			t.Fatal(err)
		}
		table := strings.Split(strings.TrimSuffix(all.String(), "\n"), "\n")
		names := strings.Split(table[0], "\t")
		var out []string
		for _, row := range table[1:] {
			values := strings.Split(row, "\t")
			var wanted []string
			for _, column := range columns {
				for i, name := range names {
					if name == column {
						wanted = append(wanted, values[i])
					}
				}
			}
			out = append(out, strings.Join(wanted, " "))
		}
		return strings.Join(out, "\n")
	}
	got := rows("experiment_arms", []string{"experiment", "variant", "exposed", "converted", "refunded", "maturity", "refund_maturity"}, Params{})
	if want := "cta-de a 1000 30 1 final provisional\ncta-de b 50 0 0 final provisional\ncta-fr a 10000 400 19 final provisional\ncta-fr b 10000 470 23 final provisional"; got != want {
		t.Errorf("arms\n%s\nwant\n%s", got, want)
	}
	// DOMAIN 0's Wilson intervals: 30/1000 and 0/50.
	got = value(t, c, `SELECT arrayStringConcat(groupArray(toString(round(v, 6))), ' ') FROM (
		SELECT arrayJoin([rate_low, rate_high]) AS v FROM (`+strings.ReplaceAll(mustQuery(t, "experiment_arms"), "{drop:String}", "'drop-1'")+`) WHERE experiment = 'cta-de')`)
	if want := "0.021094 0.042503 0 0.071348"; got != want {
		t.Errorf("Wilson %s, want %s", got, want)
	}
	columns := []string{"experiment", "language", "variant", "decision", "effect_pp", "p_holm", "better", "control_n", "srm_p", "alarm", "refund_pp", "grade"}
	got = rows("experiment_readout", columns, Params{})
	want := `cta-de de b no statement: the arms do not have the sizes that the split promises \N \N \N 1000 0 1 \N randomized_itt
cta-fr fr b no difference shown yet 0.7 0.23798 0.992373 10000 1 0 \N randomized_itt`
	if got != want {
		t.Errorf("read-out\n%s\nwant\n%s", got, want)
	}
	if got := rows("experiment_readout", []string{"variant", "decision"}, Params{"alpha": 0.25}); !strings.Contains(got, "b more conversions, caused, per offered player") {
		t.Errorf("at α .25: %s", got)
	}
}

func mustQuery(t *testing.T, name string) string {
	t.Helper()
	q, err := sql.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return q.SQL
}

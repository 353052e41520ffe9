package clickhouse

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/drift"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/models/stats"
)

// playerSet is the contract of players' vectors as processes that store describe it.
func playerSet() FeatureSet {
	s := FeatureSet{Hash: feature.Player.Hash(), Name: feature.Player.Name, Version: feature.Player.Version, Names: feature.Player.Names()}
	for _, f := range feature.Player.Features {
		s.Nullable = append(s.Nullable, f.Nullable)
	}
	return s
}

// served is what storeServing wrote.
type served struct {
	artefact *scoring.Artefact
	vectors  [][]float64 // as scored, NaN for missing
	p        []float64
	shadow   []float64
	us       []float64
	churned  []bool
}

const servedFrom = monday + 10*60*minute

// servingTime is the scoring time of row i.
func servingTime(i int) int64 { return servedFrom + int64(i)*minute }

// storeServing writes a champion and its shadow, n answered scores with their outcomes, and records beside them that no
// query may count: a resent one, a synthetic one, a degraded answer without a vector.
func storeServing(t testing.TB, c *Client, n int) *served {
	t.Helper()
	for range 2 { // every process describes them at its start
		if err := c.DescribeFeatures(t.Context(), playerSet()); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(7, 7))
	names := []string{"recency_s", "sessions_7d", "latency_mean_ms_1h", "net_spend_28d"}
	at, err := feature.Player.Position(names)
	if err != nil {
		t.Fatal(err)
	}
	vector := func(shift float64) []float64 {
		v := make([]float64, len(feature.Player.Features))
		v[at[0]] = 3600 * (shift + rng.ExpFloat64())
		v[at[1]] = float64(rng.IntN(6))
		v[at[2]] = 100 + 20*rng.NormFloat64()
		if rng.Float64() < .2+.1*shift {
			v[at[2]] = math.NaN()
		}
		v[at[3]] = float64(rng.IntN(4) - 1) // −1 is a refund of one unit, not a missing value
		return v
	}
	train := churn.Data{Names: names}
	for range 500 {
		v := vector(0)
		train.X = append(train.X, []float64{v[at[0]], v[at[1]], v[at[2]], v[at[3]]})
	}
	s := &served{artefact: &scoring.Artefact{Format: 1, Name: "churn", Version: "churn-1", Kind: "logistic",
		Features: scoring.Contract{Set: "player", Version: 1, Hash: feature.Player.Hash(), Names: names}, Training: scoring.Training{Rows: len(train.X), Positives: 100, From: monday - 9*day, To: monday - 2*day},
		Metrics: &scoring.Metrics{Rows: 100, AUC: .75, AUCSE: .05, LogLoss: .5, BaseLogLoss: .6, Slope: 1.1}, Reference: churn.References(train, 4), Checksum: "a1"}}
	storeModel := func(offset int64, a *scoring.Artefact) event.Record {
		file, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		m := event.Model{Name: a.Name, Version: a.Version, Kind: a.Kind, PublishedAt: monday, FeatureHash: a.Features.Hash, Checksum: a.Checksum, Artefact: event.PackArtefact(file)}
		return event.Record{Kind: event.KindModel, Offset: offset, Timestamp: monday, Value: m.AppendJSON(nil)}
	}
	second := *s.artefact
	second.Version, second.Kind, second.Metrics, second.Reference, second.Checksum = "churn-2", "ftrl", nil, nil, "b2"
	sink := newSink(t, c)
	// The first version was published twice.
	writeAll(t, newTestLoader(t, sink, event.KindModel, 0), []event.Record{storeModel(0, s.artefact), storeModel(1, &second), storeModel(2, s.artefact)})
	var rollouts []event.Record
	for i, r := range []event.Rollout{{Champion: "churn-2", Action: "promote"}, {Champion: "churn-1", Shadow: "churn-2", Action: "rollback", Reason: "it was worse"}} {
		r.Name, r.At = "churn", monday+int64(i)
		rollouts = append(rollouts, event.Record{Kind: event.KindRollout, Offset: int64(i), Timestamp: monday, Value: r.AppendJSON(nil)})
	}
	writeAll(t, newTestLoader(t, sink, event.KindRollout, 0), rollouts)

	var scores []event.Event
	var examples, features []event.Record
	for i := range n {
		v := vector(.5)
		p := scoring.Sigmoid(-1 + .6*rng.NormFloat64())
		shadow := scoring.Sigmoid(math.Log(p/(1-p)) + .3*rng.NormFloat64())
		us := 1 + rng.Float64()
		churned := rng.Float64() < p
		s.vectors, s.p, s.shadow, s.us, s.churned = append(s.vectors, slices.Clone(v)), append(s.p, p), append(s.shadow, shadow), append(s.us, us), append(s.churned, churned)
		feature.ToStream(v)
		id, t0 := fmt.Sprintf("p%03d", i), servingTime(i)
		ev := event.Event{Kind: event.KindScore}
		ev.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(id))
		ev.Type, ev.PlayerID, ev.EventTime, ev.IngestTime, ev.SampleRate = event.ScoreAnswered, id, t0, t0, 1
		ev.Score = event.Score{Model: "churn", ModelVersion: "churn-1", FeatureHash: feature.Player.Hash(), FeatureRevision: 2, FeatureAsOf: t0 - 1000, Vector: v,
			P: p, ShadowVersion: "churn-2", ShadowP: shadow, ChampionUS: us, ShadowUS: 3 * us}
		scores = append(scores, ev)
		if i == 0 {
			scores = append(scores, ev) // resent
			probe, lost := ev, ev
			probe.ID, probe.Synthetic, probe.Score.ChampionUS = uuid.NewSHA1(uuid.NameSpaceOID, []byte("probe")), true, 1e6
			lost.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte("lost"))
			lost.Score = event.Score{Model: "churn", P: .3, Degraded: "deadline"}
			scores = append(scores, probe, lost)
		}
		offer := event.Example{Model: "churn", ModelVersion: "churn-1", PlayerID: id, ScoredAt: t0, DropID: "drop-1", Watermark: t0 + day, LabelFrom: t0 + minute, LabelTo: t0 + day,
			Churned: churned, FeatureHash: feature.Player.Hash(), Vector: v, P: p, ShadowVersion: "churn-2", ShadowP: shadow,
			Eligible: i%10 < 9, Holdout: i%4 == 0, Converted: i%5 == 0 || i%4 == 1 && i%3 == 0, Currency: "USD"}
		if offer.Converted {
			offer.Net = 500
		}
		examples = append(examples, event.Record{Kind: event.KindExample, Offset: int64(len(examples)), Timestamp: t0 + day, Value: offer.AppendJSON(nil)})
		if i == 1 { // a second score of one player: the first one counts for offers
			offer.ScoredAt += minute
			offer.Eligible, offer.Holdout, offer.Converted = true, true, true
			examples = append(examples, event.Record{Kind: event.KindExample, Offset: int64(len(examples)), Timestamp: t0 + day, Value: offer.AppendJSON(nil)})
		}
		// Revision 2 was delivered a second before the score; half of the players had a third one by then, and some of those
		// that were scored are not stored.
		for revision := uint64(1); revision <= 3; revision++ {
			if i%2 == 0 && revision == 3 || i%8 == 7 && revision == 2 {
				continue
			}
			f := event.Features{PlayerID: id, Revision: revision, AsOf: t0 - 4000 + 1000*int64(revision), LastActivity: t0 - int64(revision), FirstActivity: t0 - day, GapMeanS: -1, GapVarS2: -1}
			f.Sessions[2] = uint32(revision)
			features = append(features, event.Record{Kind: event.KindFeatures, Offset: int64(len(features)), Timestamp: t0 - 3100 + 1000*int64(revision), Value: f.AppendJSON(nil)})
		}
	}
	writeAll(t, newTestLoader(t, sink, event.KindScore, 1), records(0, scores...))
	writeAll(t, newTestLoader(t, sink, event.KindExample, 1), examples)
	writeAll(t, newTestLoader(t, sink, event.KindFeatures, 1), features)
	return s
}

// answers are a query's answer, by column.
func answers(t testing.TB, c *Client, name string, params Params) map[string][]any {
	t.Helper()
	table, err := c.Query(t.Context(), name, params)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]any{}
	for i, column := range table.Columns {
		for _, row := range table.Rows {
			out[column] = append(out[column], row[i])
		}
	}
	return out
}

func close6(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(b)) }

// The stability index in SQL is that of models/drift over the same vectors.
func TestStabilityQuery(t *testing.T) {
	c := open(t)
	s := storeServing(t, c, 400)
	got := answers(t, c, "model_psi", Params{})
	if len(got["feature"]) != len(s.artefact.Reference) {
		t.Fatalf("features %v", got["feature"])
	}
	for i, name := range got["feature"] {
		j := slices.IndexFunc(s.artefact.Reference, func(r scoring.Reference) bool { return r.Name == name })
		r := &s.artefact.Reference[j]
		counts := drift.NewCounts(r)
		for _, v := range s.vectors {
			counts.Add(r, v[feature.Player.Index(r.Name)])
		}
		want, err := drift.Test{}.PSI(r, s.artefact.Training.Rows, counts)
		if err != nil {
			t.Fatal(err)
		}
		bins, missing := got["bins"][i].([]uint64), got["missing"][i].(uint64)
		if !slices.Equal(bins, counts.Bins) || missing != counts.Missing {
			t.Errorf("%s: bins %v and %d missing, want %v", name, bins, missing, counts)
		}
		if psi := got["psi"][i].(float64); !close6(psi, want.PSI) || psi == 0 {
			t.Errorf("%s: PSI %v, want %v", name, psi, want.PSI)
		}
	}
	// The champion's reference alone is there, and a version that never answered has nothing.
	if other := answers(t, c, "model_psi", Params{"version": "churn-2"}); len(other["feature"]) != 0 {
		t.Errorf("the shadow has %v", other["feature"])
	}
}

func TestModelReadouts(t *testing.T) {
	c := open(t)
	const n = 400
	s := storeServing(t, c, n)
	y := make([]float64, n)
	positives := 0
	for i, churned := range s.churned {
		if churned {
			y[i] = 1
			positives++
		}
	}
	got := answers(t, c, "model_versions", Params{})
	if fmt.Sprint(got["version"], got["role"], got["kind"]) != "[churn-1 churn-2] [champion shadow] [logistic ftrl]" {
		t.Errorf("versions %v, %v", got["version"], got["role"])
	}
	got = answers(t, c, "model_scores", Params{"bucket_s": 7 * 86_400})
	if fmt.Sprint(got["scores"], got["version"], got["degraded"]) != "[1 400] [ churn-1] [deadline ]" {
		t.Errorf("scores %v of %v, degraded %v", got["scores"], got["version"], got["degraded"])
	}
	mean := func(v []float64) (m float64) {
		for _, x := range v {
			m += x / float64(len(v))
		}
		return m
	}
	got = answers(t, c, "model_latency", Params{})
	if len(got["role"]) != 2 || got["max_us"][0].(float64) != slices.Max(s.us) || !close6(got["mean_us"][1].(float64), 3*mean(s.us)) {
		t.Errorf("latency %v", got)
	}
	got = answers(t, c, "model_disagreement", Params{})
	apart, sides := 0.0, 0.0
	for i := range s.p {
		apart += math.Abs(s.p[i]-s.shadow[i]) / n
		if (s.p[i] >= .5) != (s.shadow[i] >= .5) {
			sides += 1.0 / n
		}
	}
	if len(got["scores"]) != 1 || !close6(got["apart_mean"][0].(float64), apart) || !close6(got["other_side"][0].(float64), sides) || sides == 0 {
		t.Errorf("disagreement %v, want %v and %v", got, apart, sides)
	}

	// One bucket of everything is what models/churn says of the same rows; the second score of p001 is one row more.
	got = answers(t, c, "model_calibration", Params{"bucket_s": 7 * 86_400})
	p1, y1 := append(slices.Clone(s.p), s.p[1]), append(slices.Clone(y), y[1])
	champion, err := churn.Evaluate(p1, y1, 10)
	if err != nil {
		t.Fatal(err)
	}
	low, high := stats.Wilson(uint64(champion.Positives), uint64(champion.Rows), stats.Z95)
	for column, want := range map[string]float64{"brier": champion.Brier, "log_loss": champion.LogLoss, "base_log_loss": champion.BaseLogLoss, "said": mean(p1),
		"observed": float64(champion.Positives) / float64(champion.Rows), "observed_low": low, "observed_high": high} {
		if v := got[column][0].(float64); !close6(v, want) {
			t.Errorf("calibration: %s is %v, want %v", column, v, want)
		}
	}
	got = answers(t, c, "model_reliability", Params{"bins": 8})
	rows := uint64(0)
	for i, role := range got["role"] {
		if role == "champion" {
			rows += got["n"][i].(uint64)
			if n := got["n"][i].(uint64); n < 50 || n > 51 {
				t.Errorf("bin %v has %d rows", got["bin"][i], n)
			}
		}
	}
	if rows != n+1 || len(got["bin"]) != 16 {
		t.Errorf("reliability: %d rows in %v", rows, got["bin"])
	}
}

// What offers cause is counted by player, and in the words that a holdout allows.
func TestOfferUplift(t *testing.T) {
	c := open(t)
	const n = 2000
	storeServing(t, c, n)
	var offered, held struct{ N, X int }
	for i := range n {
		if i%10 == 9 {
			continue
		}
		arm := &offered
		if i%4 == 0 {
			arm = &held
		}
		arm.N++
		if i%5 == 0 || i%4 == 1 && i%3 == 0 {
			arm.X++
		}
	}
	got := answers(t, c, "offer_uplift", Params{"holdout_bps": 2500})
	if len(got["drop"]) != 1 {
		t.Fatalf("drops %v", got["drop"])
	}
	first := func(column string) float64 {
		v := got[column][0]
		if p, ok := v.(*float64); ok {
			if p == nil {
				return math.NaN()
			}
			return *p
		}
		if u, ok := v.(uint64); ok {
			return float64(u)
		}
		return v.(float64)
	}
	r1, r0 := float64(offered.X)/float64(offered.N), float64(held.X)/float64(held.N)
	se := math.Sqrt(r1*(1-r1)/float64(offered.N) + r0*(1-r0)/float64(held.N))
	for column, want := range map[string]float64{
		"offered_n": float64(offered.N), "holdout_n": float64(held.N), "offered_converted": float64(offered.X), "holdout_converted": float64(held.X),
		"uplift_pp": 100 * (r1 - r0), "low_pp": 100 * (r1 - r0 - stats.Z95*se), "high_pp": 100 * (r1 - r0 + stats.Z95*se),
		"offered_net": 500 * r1, "holdout_net": 500 * r0,
	} {
		if !close6(first(column), want) {
			t.Errorf("%s is %v, want %v", column, first(column), want)
		}
	}
	if got["wording"][0] != "caused, per offered player" || got["currency"][0] != "USD" {
		t.Errorf("wording %v, currency %v", got["wording"][0], got["currency"][0])
	}
	// DOMAIN 6's χ² of the split: p = erfc(√(χ²/2)).
	total := float64(offered.N + held.N)
	chi := math.Pow(float64(held.N)-total/4, 2)/(total/4) + math.Pow(float64(offered.N)-total*3/4, 2)/(total*3/4)
	if want := math.Erfc(math.Sqrt(chi / 2)); !close6(first("srm_p"), want) {
		t.Errorf("srm_p is %v, want %v", first("srm_p"), want)
	}
	if few := answers(t, c, "offer_uplift", Params{"min_conversions": 10_000}); few["low_pp"][0].(*float64) != nil || few["wording"][0] != "no effect shown yet" {
		t.Errorf("with few conversions: %v, %v", few["low_pp"][0], few["wording"][0])
	}
}

// Skew: what was served against what is stored, by the logged revision and by what was known at the time.
func TestSkewQueries(t *testing.T) {
	c := open(t)
	const n = 400
	storeServing(t, c, n)
	got := answers(t, c, "model_skew", Params{"grace_ms": 0})
	if fmt.Sprint(got["scores"], got["unknown"], got["behind"], got["ahead"]) != "[400] [50] [150] [0]" {
		t.Errorf("scores %v, unknown %v, behind %v, ahead %v", got["scores"], got["unknown"], got["behind"], got["ahead"])
	}
	// A third revision is delivered 100 ms before the score, which the default leaves the edge time for.
	if got := answers(t, c, "model_skew", Params{}); fmt.Sprint(got["behind"]) != "[0]" {
		t.Errorf("behind with a grace of a second: %v", got["behind"])
	}
	scored := Scored{Model: "churn", FeatureHash: feature.Player.Hash(), From: monday, To: math.MaxInt64}
	compare := func(knowable *Knowable, limit int) (revisions map[uint64]int) {
		t.Helper()
		revisions = map[uint64]int{}
		err := c.ScoredVectors(t.Context(), scored, knowable, limit, func(v *ScoredVector) error {
			revisions[v.Features.Revision]++
			if len(v.Vector) != len(feature.Player.Features) || v.Features.LastActivity != v.At-int64(v.Features.Revision) {
				t.Errorf("%d values, revision %d of %d scored at %d", len(v.Vector), v.Features.Revision, v.Features.LastActivity, v.At)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return revisions
	}
	if got := compare(nil, 1000); len(got) != 1 || got[2] != 350 {
		t.Errorf("by the logged revision: %v", got)
	}
	delivered, inEvent := KnowableDelivered, KnowableEvent
	if got := compare(&delivered, 1000); got[3] != 200 || got[2] != 200 {
		t.Errorf("by what was delivered: %v", got)
	}
	if got := compare(&inEvent, 1000); got[3] != 200 || got[2] != 200 {
		t.Errorf("by event time: %v", got)
	}
	if got := compare(nil, 20); got[2] == 0 || got[2] > 20 {
		t.Errorf("a sample of 20 holds %v", got)
	}
	rows, last := 0, int64(0)
	err := c.Examples(t.Context(), scored, func(e *ScoredExample) error {
		rows++
		if e.At < last || e.LabelTo <= e.LabelFrom || e.Version != "churn-1" || len(e.Vector) == 0 {
			t.Errorf("example %+v", e)
		}
		last = e.At
		return nil
	})
	if err != nil || rows != n+1 {
		t.Errorf("%d examples, %v", rows, err)
	}
	scored.To = time.UnixMilli(servingTime(2)).UnixMilli()
	rows = 0
	if err := c.Examples(t.Context(), scored, func(*ScoredExample) error { rows++; return nil }); err != nil || rows != 2 {
		t.Errorf("%d examples before the third, %v", rows, err)
	}
	if err := c.DescribeFeatures(t.Context(), FeatureSet{Hash: "x", Names: []string{"a"}}); err == nil {
		t.Error("a set with a name and no word of whether it can be missing is stored")
	}
}

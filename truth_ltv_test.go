package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/models/ltv"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// ltvDefaults are the flags' defaults.
func ltvDefaults(t testing.TB, args ...string) LTVFitCmd {
	t.Helper()
	var cli CLI
	parser, err := newArgumentParser(&cli)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"ltv", "fit"}, args...)); err != nil {
		t.Fatal(err)
	}
	return cli.LTV.Fit
}

// fitLTV runs the command, and returns the same fit for a look inside.
func (p *pipeline) fitLTV(cmd LTVFitCmd) (printed string, fit *LTVFit) {
	p.t.Helper()
	printed = p.command(&cmd)
	fit, err := measureLTV(p.t.Context(), p.client, cmd.LTVOptions, func(string, int) {})
	if err != nil {
		p.t.Fatal(err)
	}
	return printed, fit
}

func closeTo(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.7g, want %.7g ± %g", what, got, want, tolerance)
	}
}

func wantParameters(t *testing.T, got []LTVParameter, want map[string]float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("parameters %+v, want %v", got, want)
	}
	for _, p := range got {
		closeTo(t, p.Name, p.Value, want[p.Name], tolerance)
		if !(p.Low < p.Value && p.Value < p.High) {
			t.Errorf("%s = %g is outside of its interval, %g to %g", p.Name, p.Value, p.Low, p.High)
		}
	}
}

// sampleOfCDNOW writes the master's lines of the published sample of 2,357 customers into a file of the master's form.
func sampleOfCDNOW(t *testing.T) string {
	t.Helper()
	sample, err := os.ReadFile(realData(t, "cdnow/CDNOW_sample.txt"))
	if err != nil {
		t.Fatal(err)
	}
	out := []string{"customer_id date number_of_cds dollar_value"}
	for line := range strings.Lines(string(sample)) {
		fields := strings.Fields(line)
		out = append(out, strings.Join([]string{fields[0], fields[2], fields[3], fields[4]}, " "))
	}
	path := filepath.Join(t.TempDir(), "sample.txt")
	if err := os.WriteFile(path, []byte(strings.Join(out, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLifetimeValueOfCDNOW replays the published sample and must find the published parameters, predictions and hold-out through the commands.
func TestLifetimeValueOfCDNOW(t *testing.T) {
	sample := sampleOfCDNOW(t)
	p := startPipeline(t, t.TempDir())
	p.command(&ReplayCmd{Mapping: "cdnow", Files: []string{sample}, Resume: true})
	p.settle()

	cmd := ltvDefaults(t, "--model=bgnbd", "--as-of=1997-10-01", "--horizon=38w", "--format=json")
	printed, fit := p.fitLTV(cmd)
	if !json.Valid([]byte(printed)) || !strings.Contains(printed, fit.Fit) {
		t.Errorf("no JSON of fit %s:\n%s", fit.Fit, printed)
	}
	if fit.Buyers != 2357 || fit.Repeaters != 946 || fit.Currency != "USD" {
		t.Errorf("%d buyers, %d repeaters in %s", fit.Buyers, fit.Repeaters, fit.Currency)
	}
	// The published summary rounds weeks to two decimals, and spends to cents; the histories here are exact.
	wantParameters(t, fit.Parameters, map[string]float64{"r": .24259, "alpha": 4.41353, "a": .79288, "b": 2.42575}, 1e-3)
	closeTo(t, "log-likelihood", fit.LogLikelihood, -9582.43, .1)
	if fit.Spend.Model != gammaGamma || fit.Spend.Repeaters != 946 || fit.Spend.Correlation == nil {
		t.Fatalf("spend: %+v", fit.Spend)
	}
	// γ is in cents here.
	closeTo(t, "p", fit.Spend.Parameters[0].Value, 6.2488, 5e-3)
	closeTo(t, "q", fit.Spend.Parameters[1].Value, 3.7446, 5e-3)
	closeTo(t, "γ", fit.Spend.Parameters[2].Value/100, 15.4477, 2e-2)
	closeTo(t, "log-likelihood of spend in dollars", *fit.Spend.LogLikelihood+946*math.Log(100), -4055.9232, .1)
	closeTo(t, "correlation", *fit.Spend.Correlation, .1139, 1e-3)

	p.settle()
	p.want("predictions", "SELECT count(), uniqExact(player_id), uniqExact(fit), countIf(first_purchase < '1997-04-01') FROM lifetimes_latest WHERE model = 'bgnbd'", "2357 2357 1 2357")
	// The first customer of the published summary is master customer 4: two repeats, the last after 30.43 of 38.86 weeks.
	first := strings.Fields(p.tsv("SELECT repeats, last_repeat, age, p_alive, purchases, mean_spend / 100, value / 100 FROM lifetimes_latest WHERE player_id = 'customer-00004'"))
	number := func(i int) float64 {
		v, err := strconv.ParseFloat(first[i], 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	closeTo(t, "x", number(0), 2, 0)
	closeTo(t, "t_x", number(1), 30.43, .005)
	closeTo(t, "T", number(2), 38.86, .005)
	closeTo(t, "P(alive)", number(3), .7266, 5e-4)
	own := ltv.BGNBD{R: fit.Parameters[0].Value, Alpha: fit.Parameters[1].Value, A: fit.Parameters[2].Value, B: fit.Parameters[3].Value}
	closeTo(t, "E[Y(38)]", number(4), own.Next(ltv.History{X: 2, Recency: 213. / 7, Age: 272. / 7}, 38), 1e-9)
	closeTo(t, "E[Y(39)] at the fitted parameters", own.Next(ltv.History{X: 2, Recency: 213. / 7, Age: 272. / 7}, 39), 1.226, 1e-3)
	closeTo(t, "E[M]", number(5), 24.66, .01)
	closeTo(t, "value", number(6), number(4)*number(5), 1e-6)

	// What the 38 weeks brought, by x.
	table := p.query("ltv_predicted", clickhouse.Params{"model": "bgnbd", "currency": "USD", "by": "x"})
	if len(table.Rows) != 8 {
		t.Fatalf("calibration %v", table.Rows)
	}
	predicted, observed, repeats := 0.0, 0.0, 0.0
	for i := range table.Rows {
		r := row{table, i}
		if !r.truth("mature") {
			t.Errorf("%s is not mature", r.text("part"))
		}
		if (r.text("alive") == absent) != (r.text("part") == "x = 0") {
			t.Errorf("%s: alive %s", r.text("part"), r.text("alive"))
		}
		predicted, observed, repeats = predicted+r.float("predicted_purchases"), observed+r.float("observed_purchases"), repeats+r.float("repeats")
		t.Logf("%s: %s buyers, predicted %s, observed %s", r.text("part"), r.text("buyers"), r.decimal("predicted_purchases", 1), r.text("observed_purchases"))
	}
	p.want("purchase days of the 38 weeks", `SELECT uniqExact(player_id, toDate(effective_time)) FROM purchases FINAL WHERE effective_time >= '1997-10-01' AND effective_time < '1998-06-24'`, strconv.Itoa(int(observed)))
	if repeats != 2457 || math.Abs(predicted/observed-1) > .2 {
		t.Errorf("%g repeats; predicted %g, observed %g", repeats, predicted, observed)
	}
	if weeks := p.query("ltv_predicted", clickhouse.Params{"model": "bgnbd", "currency": "USD"}); len(weeks.Rows) < 12 || (row{weeks, 0}).text("part") != "1997-W01" {
		t.Errorf("cohorts %v", weeks.Rows)
	}

	// Without drops there are no opportunities.
	if _, err := measureLTV(t.Context(), p.client, ltvDefaults(t).LTVOptions, func(string, int) {}); err == nil || !strings.Contains(err.Error(), "--model bgnbd") {
		t.Errorf("a fit by drops where there are none: %v", err)
	}

	// The published hold-out: fitted on the first 39 weeks, held against the next.
	cmd = ltvDefaults(t, "--model=bgnbd", "--as-of=1998-07-01", "--cut=1997-10-01", "--dry-run")
	printed, later := p.fitLTV(cmd)
	wantParameters(t, later.Holdout.Parameters, map[string]float64{"r": .24259, "alpha": 4.41353, "a": .79288, "b": 2.42575}, 1e-3)
	for i, actual := range []float64{.236712, .697039, 1.392523, 1.56, 2.532258, 2.947368, 3.862069, 6.359375} {
		r := later.Holdout.Rows[i]
		closeTo(t, "actual of x = "+r.X, r.Actual, actual, 1e-6)
		if math.Abs(r.Predicted-r.Actual) > 4**r.SE+.1*r.Actual {
			t.Errorf("x = %s: predicted %g, actual %g ± %g", r.X, r.Predicted, r.Actual, *r.SE)
		}
	}
	p.settle()
	p.want("fits after a dry run", "SELECT uniqExact(fit) FROM lifetimes", "1")
	t.Log(printed)
	for _, want := range []string{"individual predictions are not guarantees", "the model cannot tell of the others", "x before", "7+"} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is missing in\n%s", want, printed)
		}
	}
}

// TestLifetimeValueOfSimulatedDrops sends purchases at drops, by people whose chances to buy and to leave are known, through the pipeline. The fit by
// eligible drops must find those chances, and its hold-out must agree with what came.
func TestLifetimeValueOfSimulatedDrops(t *testing.T) {
	const seed, players, drops = 11, 4000, 14
	t.Logf("seed %d", seed)
	truth := ltv.BGBB{Alpha: 1.2, Beta: 1.1, Gamma: .9, Delta: 4}
	p := startPipeline(t, t.TempDir())
	start := time.Date(2025, 1, 6, 18, 0, 0, 0, time.UTC).UnixMilli()
	const day = int64(24 * time.Hour / time.Millisecond)
	rng := rand.New(rand.NewPCG(seed, 0))
	var messages []event.Message
	add := func(ev *event.Event, key string) {
		ev.IngestTime = ev.EventTime
		ev.ID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%d", len(messages)))
		messages = append(messages, event.Message{Kind: ev.Kind, Key: []byte(key), Value: event.Append(nil, ev)})
	}
	for d := range int64(drops) {
		var ev event.Event
		ev.Reset(event.KindDrop)
		ev.Type, ev.EventTime, ev.DropID, ev.CreatorID = event.Catalogue, start, fmt.Sprintf("drop-%02d", d), "creator"
		ev.Drop = event.Drop{Name: ev.DropID, Version: 1, StartMS: start + 7*d*day, EndMS: start + (7*d+2)*day}
		add(&ev, ev.DropID)
	}
	// Purchases are sent in the order of their times, as they would come.
	repeats := 0
	bought := make([][]event.Event, drops)
	buy := func(player int, d, amount int64) {
		var ev event.Event
		ev.Reset(event.KindCheckout)
		ev.Type, ev.EventTime, ev.PlayerID = event.CheckoutCompleted, start+7*d*day+int64(rng.IntN(int(2*day))), fmt.Sprintf("player-%05d", player)
		ev.DropID, ev.CreatorID = fmt.Sprintf("drop-%02d", d), "creator"
		ev.Checkout = event.Checkout{CheckoutID: fmt.Sprintf("c-%d-%d", player, d), Amount: amount, Currency: "EUR", SKU: "cap", Quantity: 1}
		bought[d] = append(bought[d], ev)
	}
	for i := range players {
		chance, leave := distuv.Beta{Alpha: truth.Alpha, Beta: truth.Beta, Src: rng}.Rand(), distuv.Beta{Alpha: truth.Gamma, Beta: truth.Delta, Src: rng}.Rand()
		rate := distuv.Gamma{Alpha: 4, Beta: 5000, Src: rng}.Rand()
		spend := func() int64 { return 1 + int64(distuv.Gamma{Alpha: 6, Beta: rate, Src: rng}.Rand()) }
		came := int64(i % 3)
		buy(i, came, spend())
		for d := came + 1; d < drops && rng.Float64() >= leave; d++ {
			if rng.Float64() < chance {
				buy(i, d, spend())
				repeats++
			}
		}
	}
	for d := range bought {
		for i := range bought[d] {
			add(&bought[d][i], bought[d][i].PlayerID)
		}
	}
	producer, err := kafka.NewProducer(p.node.kafka, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := errors.Join(producer.Produce(t.Context(), messages...), producer.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	p.settle()
	p.want("checkouts, refused ones", "SELECT (SELECT count() FROM checkout_events), (SELECT count() FROM dead_letters)", fmt.Sprintf("%d 0", players+repeats))

	asOf := time.UnixMilli(start + (7*(drops-1)+2)*day).UTC()
	cmd := ltvDefaults(t, "--as-of", asOf.Format(time.RFC3339), "--cut", time.UnixMilli(start+(7*7+3)*day).UTC().Format(time.RFC3339), "--drops=3")
	printed, fit := p.fitLTV(cmd)
	for _, want := range []string{"bgbb delta", "% of all buyers", "Next 3 eligible drops", "individual predictions are not guarantees"} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is missing in\n%s", want, printed)
		}
	}
	if fit.Buyers != players || fit.Unit != "eligible drops" || fit.Currency != "EUR" {
		t.Errorf("%d buyers in %s, by %s", fit.Buyers, fit.Currency, fit.Unit)
	}
	for i, want := range []float64{truth.Alpha, truth.Beta, truth.Gamma, truth.Delta} {
		p := fit.Parameters[i]
		// The interval is one of 95 %; twice as wide it is one of 99.99 %.
		if z := math.Log(p.Value/want) / (math.Log(p.High/p.Low) / 2); math.Abs(z) > 2 {
			t.Errorf("%s = %g [%g, %g], truth %g", p.Name, p.Value, p.Low, p.High, want)
		}
	}
	if fit.Spend.Model != gammaGamma || math.Abs(*fit.Spend.Correlation) > .1 {
		t.Errorf("spend: %+v", fit.Spend)
	}
	h := fit.Holdout
	if h.Note != "" || len(h.Rows) < 7 {
		t.Fatalf("hold-out: %+v", h)
	}
	for _, r := range append(h.Rows, *h.All) {
		t.Logf("x = %s: %d buyers, predicted %.3f, actual %.3f ± %.3f", r.X, r.Buyers, r.Predicted, r.Actual, *r.SE)
		if math.Abs(r.Predicted-r.Actual) > 4**r.SE {
			t.Errorf("x = %s: predicted %g, actual %g ± %g", r.X, r.Predicted, r.Actual, *r.SE)
		}
	}
	p.settle()
	few := cmd
	few.LeastRepeaters = fit.Repeaters + 1
	if _, err := captureStdout(func() error { return few.Run(t.Context(), p.cfg) }); err == nil || !strings.Contains(err.Error(), "nothing was published") {
		t.Errorf("published with fewer repeaters than asked for: %v", err)
	}
	p.want("predictions, repeats, drops", "SELECT count(), sum(repeats), max(age), min(age), any(horizon) FROM lifetimes_latest WHERE model = 'bgbb' AND currency = 'EUR'",
		fmt.Sprintf("%d %d %d %d 3", players, repeats, drops-1, drops-3))

	// A fit as of the eleventh drop replaces it; the three drops since have brought what it predicts, as far as chance allows.
	cmd.AsOf, cmd.Cut = time.UnixMilli(start+(7*10+3)*day), time.Time{}
	p.command(&cmd)
	p.settle()
	p.want("fits", "SELECT uniqExact(fit) FROM lifetimes_latest", "1")
	p.command(&AuditCmd{Topic: []string{"lifetime"}})
	table := p.query("ltv_predicted", clickhouse.Params{"currency": "EUR", "by": "x", "watermark_ms": asOf.UnixMilli()})
	predicted, observed := 0.0, 0.0
	for i := range table.Rows {
		r := row{table, i}
		if !r.truth("mature") {
			t.Errorf("%s is not mature", r.text("part"))
		}
		predicted, observed = predicted+r.float("predicted_purchases"), observed+r.float("observed_purchases")
	}
	if observed == 0 || math.Abs(predicted-observed) > 5*math.Sqrt(observed) {
		t.Errorf("predicted %g, observed %g purchases", predicted, observed)
	}
	// By decile it is the same purchases, and every decile is as predicted as far as chance allows.
	at := fmt.Sprintf("FROM ltv_calibration(watermark_ms = %d)", asOf.UnixMilli())
	p.want("deciles", "SELECT count(), min(mature), sum(buyers), round(sum(observed * buyers)), round(sum(predicted * buyers)), min(passed) "+at,
		fmt.Sprintf("10 1 %s %.0f %.0f 1", p.tsv("SELECT count() FROM lifetimes_latest"), observed, predicted))
	p.want("deciles far off", "SELECT groupArray((decile, predicted, observed, observed_se)) "+at+" WHERE abs(predicted - observed) > 4 * observed_se + 0.01", "[]")
	p.want("without a later watermark", "SELECT countIf(observed IS NOT NULL), round(sum(so_far * buyers)) FROM ltv_calibration(watermark_ms = 0)", fmt.Sprintf("0 %.0f", observed))
	cohorts := p.query("ltv_predicted", clickhouse.Params{"currency": "EUR", "watermark_ms": asOf.UnixMilli()})
	if len(cohorts.Rows) != 3 {
		t.Errorf("cohorts %v", cohorts.Rows)
	}
	for i := range cohorts.Rows {
		r := row{cohorts, i}
		predicted, observed := r.float("predicted_value"), r.float("observed_value")
		t.Logf("cohort %s at %s drops: %s buyers, predicted %.0f, observed %.0f", r.text("part"), r.text("age"), r.text("buyers"), predicted, observed)
		if math.Abs(predicted/observed-1) > .15 {
			t.Errorf("cohort %s: predicted %g, observed %g", r.text("part"), predicted, observed)
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/sinks/features"
)

const decideAt = int64(1_760_000_000_000)

// onePlayer has the same features for everybody.
type onePlayer struct{ event.Features }

func (p *onePlayer) Lookup(_ string, f *event.Features) (features.Freshness, bool) {
	*f = p.Features
	return features.Freshness{Served: true, AsOf: f.AsOf, Revision: f.Revision, Watermark: f.AsOf, CaughtUp: true}, true
}

func anybody() *onePlayer {
	f := event.Features{Revision: 3, AsOf: decideAt - 1000, FirstActivity: decideAt - 86_400_000, LastActivity: decideAt - 1001, GapMeanS: -1, GapVarS2: -1, SpendCurrency: "EUR"}
	for w := range event.NumWindows {
		f.LatencyMeanMS[w], f.LatencyMaxMS[w] = -1, -1
	}
	return &onePlayer{f}
}

// linearModel is a sealed model of every feature of the set, and its record.
func linearModel(t testing.TB, version string, bias float64) event.Model {
	t.Helper()
	names := feature.Player.Names()
	n := len(names)
	l := &scoring.Linear{Bias: bias, Weights: make([]float64, n), Mean: make([]float64, n), Scale: make([]float64, n), Impute: make([]float64, n), Missing: make([]float64, n), Log: make([]bool, n)}
	row := make([]*float64, n)
	for i := range n {
		zero := 0.0
		l.Weights[i], l.Scale[i], l.Log[i], row[i] = .01, 1, i%2 == 0, &zero
	}
	a := &scoring.Artefact{
		Name: "churn", Version: version, Kind: "logistic", Linear: l,
		Features: scoring.Contract{Set: feature.Player.Name, Version: feature.Player.Version, Hash: feature.Player.Hash(), Names: names},
		Training: scoring.Training{Rows: 100, Positives: 20},
		Golden:   []scoring.Golden{{Features: row, Raw: bias, P: 1 / (1 + math.Exp(-bias))}},
	}
	file, err := scoring.Seal(a, feature.Player)
	if err != nil {
		t.Fatal(err)
	}
	return event.Model{Name: a.Name, Version: a.Version, Kind: a.Kind, PublishedAt: decideAt, FeatureHash: a.Features.Hash, Checksum: a.Checksum, Artefact: event.PackArtefact(file)}
}

func rolloutOf(champion, shadow string) event.Rollout {
	return event.Rollout{Name: "churn", Champion: champion, Shadow: shadow, Action: "promote", At: decideAt}
}

// saleOf is a drop that runs at a time.
func saleOf(at int64, skus ...string) *event.Event {
	ev := &event.Event{Kind: event.KindDrop, Drop: event.Drop{Name: "d", Version: 1, StartMS: at - 1000, EndMS: at + 86_400_000}}
	ev.ID, ev.Type, ev.EventTime, ev.DropID, ev.CreatorID, ev.SampleRate, ev.SchemaVersion = uuid.UUID{1}, event.Catalogue, at, "d", "c", 1, 1
	for _, sku := range skus {
		ev.Drop.Items = append(ev.Drop.Items, event.Item{SKU: sku, Price: 2000, Currency: "EUR", Inventory: 100})
	}
	return ev
}

// The whole way on a real log: models are promoted and swapped without a restart, drops and stock count, answers become
// score records that read back.
func TestEdgeServer(t *testing.T) {
	offers := filepath.Join(t.TempDir(), "offers.yaml")
	if err := os.WriteFile(offers, []byte("offers:\n- {name: print, sku: '*-print', discount_bps: 1000, margin_bps: 6000, budget: {EUR: 100000}}\nprior: {conversions: 2, others: 18}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := parseConfig(t, "--offers", offers, "--edge-holdout", "0", "--decide-deadline", "10s")
	n, err := newNode(cfg, embeddedtest.Logger(t), newOperations("edge"), &servers{Brokers: embeddedtest.Kafka(t).Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := n.topics(ctx); err != nil {
		t.Fatal(err)
	}
	producer, err := kafka.NewProducer(n.kafka, kafka.ProducerConfig{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	publish := func(kind event.Kind, key string, value []byte) {
		t.Helper()
		if err := errors.Join(producer.Produce(ctx, event.Message{Kind: kind, Key: []byte(key), Value: value}), producer.Flush(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	model := func(m event.Model) { publish(event.KindModel, m.Name+"|"+m.Version, m.AppendJSON(nil)) }
	promote := func(champion, shadow string) {
		r := rolloutOf(champion, shadow)
		publish(event.KindRollout, r.Name, r.AppendJSON(nil))
	}
	model(linearModel(t, "v1", -1))
	promote("v1", "")
	publish(event.KindDrop, "d", event.Append(nil, saleOf(decideAt, "d-print")))

	mux := http.NewServeMux()
	s, err := n.newEdgeServer(mux, anybody(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- s.run(running) }()
	web := httptest.NewServer(mux)
	defer web.Close()
	until := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			select {
			case err := <-ran:
				t.Fatalf("%s: the server ended: %v", what, err)
			case <-ctx.Done():
				t.Fatalf("%s never came", what)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	type answer struct {
		Score    float64
		Version  string
		NoOffer  string `json:"no_offer"`
		Degraded string
		Offer    *struct {
			SKU        string
			Propensity float64
		}
	}
	asked := 0
	ask := func() (a answer) {
		t.Helper()
		asked++
		body := fmt.Sprintf(`{"player":"p%d","drop":"d","consent":7,"at":%d}`, asked%7, decideAt)
		resp, err := http.Post(web.URL+"/v1/decide", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
		return a
	}
	until("readiness", func() bool { return s.ready() == nil })
	if a := ask(); a.Version != "v1" || a.Degraded != "" {
		t.Errorf("%+v", a)
	}
	// A version that is promoted later takes over; one that was tampered with does not.
	model(linearModel(t, "v2", 1))
	promote("v2", "v1")
	until("the second champion", func() bool { return ask().Version == "v2" })
	bad := linearModel(t, "v3", 2)
	bad.Artefact = bad.Artefact[:len(bad.Artefact)/2]
	model(bad)
	promote("v3", "")
	stock := event.Estimate{DropID: "d", Metric: "inventory_remaining", Dimensions: []event.Dimension{{Name: "sku", Value: "d-print"}}, Revision: 1, AsOf: decideAt,
		From: decideAt - 1, To: decideAt, Unit: "pieces", Enough: true, P: -1, SampleRate: 1}
	publish(event.KindEstimate, "d|inventory_remaining|sku=d-print", stock.AppendJSON(nil))
	until("the end of the stock", func() bool { return ask().NoOffer == "sold_out" })
	if a := ask(); a.Version != "v2" {
		t.Errorf("a bad model was promoted, and %s answers", a.Version)
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	// Everything that was asked is in the log, and says who answered.
	records, versions := 0, map[string]int{}
	follower, err := kafka.NewFollower(n.kafka, kafka.FollowConfig{Topic: n.kafka.Topic(event.KindScore)})
	if err != nil {
		t.Fatal(err)
	}
	var d event.Decoder
	read, done := context.WithCancel(ctx)
	if err := follower.Run(read, func(f kafka.Followed) error {
		for _, r := range f.Records {
			var e event.Event
			if err := d.Decode(event.KindScore, r.Value, &e); err != nil {
				return err
			}
			if e.Score.ModelVersion == "v2" && e.Score.ShadowVersion != "v1" {
				t.Errorf("v2 was shadowed by %q", e.Score.ShadowVersion)
			}
			records++
			versions[e.Score.ModelVersion]++
		}
		if records == asked {
			done()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	done()
	if records != asked || versions["v1"] == 0 || versions["v2"] == 0 || len(versions) != 2 {
		t.Errorf("%d records of %d answers: %v", records, asked, versions)
	}
}

func TestOffersFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "offers.yaml")
	for text, want := range map[string]string{
		"offers:\n- {name: a, sku: '*', discount_bps: 500, budget: {EUR: 1}}\nbands: [.3]\n": "",
		"offers:\n- {name: a, sku: '*', discount: 500}\n":                                    "discount",
		"offers:\n- {name: a, sku: '*'}\n- {name: a, sku: '*'}\n":                            "two rules",
		"bands: [.3, .2]\n": "bands",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := DecideConfig{Offers: file}
		if _, err := c.offers(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	example := DecideConfig{Offers: "deploy/offers.yaml"}
	if got, err := example.offers(); err != nil || len(got.Rules) != 2 || got.Rules[1].Name != "poster" || len(got.Bands) != 3 || got.Rates.Prior.Mean() != .05 {
		t.Errorf("the example: %+v, %v", got, err)
	}
	c := DecideConfig{Offers: file + ".absent"}
	if _, err := c.offers(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

package edge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/offer"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/sinks/features"
)

// t0 is the moment of most tests.
const (
	t0  = int64(1_760_000_000_000)
	day = int64(24 * 3600 * 1000)
)

// rig is a Decider on a stepped clock, with features, drops and a topic of scores in memory.
type rig struct {
	*Decider
	t       *testing.T
	mux     *http.ServeMux
	players map[string]event.Features
	drops   map[string]*event.Drop
	scores  *topic

	mu   sync.Mutex
	now  time.Time
	step time.Duration // by which the clock moves whenever it is read
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(r.step)
	return r.now
}

func (r *rig) Lookup(player string, f *event.Features) (features.Freshness, bool) {
	x, ok := r.players[player]
	*f = x
	return features.Freshness{Served: player != "far", AsOf: x.AsOf, Watermark: t0, CaughtUp: true, Revision: x.Revision}, ok
}

func (r *rig) Drop(id string, _ int64) *event.Drop { return r.drops[id] }

// topic keeps what is produced.
type topic struct {
	mu       sync.Mutex
	messages []event.Message
	fail     error // of the next Produce, until Flush
	flushes  int
	blocked  chan struct{}
}

func (p *topic) Produce(_ context.Context, messages ...event.Message) error {
	if p.blocked != nil {
		<-p.blocked
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	p.messages = append(p.messages, messages...)
	return nil
}

func (p *topic) Flush(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushes++
	p.fail = nil
	return nil
}

var margin = int64(6000)

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, now: time.UnixMilli(t0), scores: &topic{}, players: map[string]event.Features{"p": {
		PlayerID: "p", Revision: 7, AsOf: t0 - 5000, Sessions: [4]uint32{1, 2, 3, 4}, FirstActivity: t0 - 9*day, LastActivity: t0 - 5001,
		SpendCurrency: "EUR", GapMeanS: -1, GapVarS2: -1, LatencyMeanMS: [4]float64{-1, -1, 80, 90}, LatencyMaxMS: [4]float64{-1, -1, 100, 200},
	}}}
	r.drops = map[string]*event.Drop{"d": {Name: "d", StartMS: t0 - day, EndMS: t0 + day, Items: []event.Item{
		{SKU: "d-print", Price: 2000, Currency: "EUR", Inventory: 100}, {SKU: "d-poster", Price: 1000, Currency: "EUR"}, {SKU: "other", Price: 5, Currency: "EUR"},
	}}}
	cfg := Config{
		Features: r, Catalogue: r, Scores: r.scores, Now: r.clock, Registerer: prometheus.NewRegistry(),
		Offers: OffersConfig{
			Rules: []Rule{
				{Name: "print", SKU: "*-print", DiscountBPS: 1000, MarginBPS: &margin, Budget: map[string]int64{"EUR": 100_000}},
				{Name: "poster", SKU: "*-poster", MarginBPS: &margin},
			},
			Holdout: offer.Holdout{Salt: "test", BPS: 1000},
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Decider = d
	r.mux = http.NewServeMux()
	d.Handle(r.mux)
	return r
}

// artefact is a linear model on recency alone: raw = bias + weight·recency_s/1000.
func artefact(t testing.TB, version string, bias, weight float64, change ...func(*scoring.Artefact)) *scoring.Artefact {
	t.Helper()
	value := 500.0
	raw := bias + weight*value/1000
	a := &scoring.Artefact{
		Format: scoring.Format, Name: "churn", Version: version, Kind: "logistic",
		Features: scoring.Contract{Set: "player", Version: 1, Hash: feature.Player.Hash(), Names: []string{"recency_s"}},
		Training: scoring.Training{Rows: 1000, Positives: 265},
		Linear:   &scoring.Linear{Bias: bias, Weights: []float64{weight}, Mean: []float64{0}, Scale: []float64{1000}, Impute: []float64{0}},
		Golden:   []scoring.Golden{{Features: []*float64{&value}, Raw: raw, P: 1 / (1 + math.Exp(-raw))}},
	}
	for _, f := range change {
		f(a)
	}
	return a
}

// published is the artefact's record.
func published(t testing.TB, a *scoring.Artefact, at int64) event.Model {
	t.Helper()
	file, err := scoring.Seal(a, feature.Player)
	if err != nil {
		t.Fatal(err)
	}
	return event.Model{Name: a.Name, Version: a.Version, Kind: a.Kind, PublishedAt: at, FeatureHash: a.Features.Hash, Checksum: a.Checksum, Artefact: event.PackArtefact(file)}
}

func take(m *Models, v event.Model) error {
	return m.Model([]byte(v.Name+"|"+v.Version), v.AppendJSON(nil))
}

func promote(m *Models, champion, shadow string) error {
	v := event.Rollout{Name: "churn", Champion: champion, Shadow: shadow, Action: "promote", At: t0}
	return m.Rollout([]byte(v.Name), v.AppendJSON(nil))
}

// serve puts a champion and a shadow into service.
func (r *rig) serve() {
	r.t.Helper()
	err := errors.Join(take(r.Models, published(r.t, artefact(r.t, "v1", -1, .01), t0)), take(r.Models, published(r.t, artefact(r.t, "v2", -.5, .01), t0+1)), promote(r.Models, "v1", "v2"))
	if err != nil {
		r.t.Fatal(err)
	}
}

// reply is the answer of /v1/decide.
type reply struct {
	Player   *string
	At       int64
	Score    *float64
	Model    string
	Version  *string
	Features *struct {
		Source    string
		AsOf      int64 `json:"as_of"`
		AgeMS     int64 `json:"age_ms"`
		Watermark int64
		Complete  bool
		Stale     bool
		Revision  uint64
	}
	Band *struct {
		Index    int
		From, To float64
	}
	Reasons []struct {
		Feature      string
		Contribution float64
	}
	Offer *struct {
		Name, SKU   string
		DiscountBPS int64 `json:"discount_bps"`
		Price       int64 `json:"price_minor"`
		Expected    int64 `json:"expected_margin_minor"`
		Currency    string
		Propensity  float64
	}
	NoOffer  *string `json:"no_offer"`
	Holdout  bool
	Prefetch []struct {
		ID     string
		Bytes  int64
		P      float64
		Saving int64 `json:"saving_nano"`
	}
	Degraded *string
}

func (a reply) degraded() string {
	if a.Degraded == nil {
		return ""
	}
	return *a.Degraded
}

func (a reply) noOffer() string {
	if a.NoOffer == nil {
		return ""
	}
	return *a.NoOffer
}

// post asks, with headers given as name, value, and so on.
func (r *rig) post(body string, headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest("POST", "/v1/decide", strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.mux.ServeHTTP(w, req)
	return w
}

// ask asks and expects 200 with well-formed JSON of the documented members.
func (r *rig) ask(body string, headers ...string) reply {
	r.t.Helper()
	w := r.post(body, headers...)
	var a reply
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&a); w.Code != http.StatusOK || err != nil {
		r.t.Fatalf("%s: status %d, %v: %s", body, w.Code, err, w.Body)
	}
	return a
}

// drain runs the Decider until everything that waits has its record, and returns the newest ones.
func (r *rig) drain() []event.Event {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		r.t.Fatal(err)
	}
	r.scores.mu.Lock()
	defer r.scores.mu.Unlock()
	var all []event.Event
	for _, m := range r.scores.messages {
		var d event.Decoder
		var e event.Event
		if err := d.Decode(event.KindScore, m.Value, &e); err != nil {
			r.t.Fatalf("%v: %s", err, m.Value)
		}
		if m.Kind != event.KindScore || string(m.Key) != e.PlayerID {
			r.t.Errorf("kind %v, key %s of %s", m.Kind, m.Key, e.PlayerID)
		}
		all = append(all, e)
	}
	r.scores.messages = nil
	return all
}

func (r *rig) counted(c prometheus.Counter, want float64) {
	r.t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil || m.Counter.GetValue() != want {
		r.t.Errorf("counted %v, want %v (%v)", m.Counter.GetValue(), want, err)
	}
}

// errorField is the field that an error's body names.
func errorField(t *testing.T, body string) string {
	t.Helper()
	var e struct {
		Error struct{ Field, Problem string }
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Problem == "" {
		t.Errorf("no error in %s: %v", body, err)
	}
	return e.Error.Field
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

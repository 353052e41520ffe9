package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/models/feature"
)

const asked = `{"player":"p","drop":"d","pop":"fra1","consent":7,"at":1760000000000}`

// playerWhere finds a player like p for whom a full request is answered so.
func (r *rig) playerWhere(what string, ok func(reply) bool) (string, reply) {
	r.t.Helper()
	for i := range 500 {
		name := fmt.Sprintf("p%d", i)
		r.players[name] = r.players["p"]
		if a := r.ask(strings.Replace(asked, `"p"`, `"`+name+`"`, 1)); ok(a) {
			return name, a
		}
	}
	r.t.Fatalf("no player is %s", what)
	return "", reply{}
}

func TestDecide(t *testing.T) {
	r := newRig(t)
	r.serve()
	name, a := r.playerWhere("offered the print", func(a reply) bool { return a.Offer != nil && a.Offer.Name == "print" })
	// recency 5.001 s: raw = −1 + .01·.005001.
	raw := -1 + .01*5.001/1000
	if want := 1 / (1 + math.Exp(-raw)); a.Score == nil || math.Abs(*a.Score-want) > 1e-12 {
		t.Errorf("score %v, want %v", a.Score, want)
	}
	if *a.Version != "v1" || a.Model != "churn" || a.Degraded != nil || *a.Player != name || a.At != t0 {
		t.Errorf("answer %+v", a)
	}
	f := a.Features
	if f.Source != "store" || f.AgeMS != 5000 || f.AsOf != t0-5000 || f.Watermark != t0 || !f.Complete || f.Stale || f.Revision != 7 {
		t.Errorf("features %+v", f)
	}
	if len(a.Reasons) != 1 || a.Reasons[0].Feature != "recency_s" || math.Abs(a.Reasons[0].Contribution-.01*5.001/1000) > 1e-12 {
		t.Errorf("reasons %+v", a.Reasons)
	}
	if a.Band == nil || a.Band.Index != 1 || a.Band.From != .2 || a.Band.To != .5 {
		t.Errorf("band %+v", a.Band)
	}
	// 20.00 less 10 %; the prior's 5 % of a margin of 60 − 10 % of 20.00.
	if o := a.Offer; o.SKU != "d-print" || o.DiscountBPS != 1000 || o.Price != 1800 || o.Expected != 50 || o.Currency != "EUR" || !(o.Propensity > 0 && o.Propensity < 1) {
		t.Errorf("offer %+v", o)
	}
	again := r.ask(strings.Replace(asked, `"p"`, `"`+name+`"`, 1))
	if again.Offer == nil || *again.Offer != *a.Offer {
		t.Errorf("asked again, the offer is %+v", again.Offer)
	}

	records := r.drain()
	e := records[len(records)-1]
	s := e.Score
	if e.PlayerID != name || e.DropID != "d" || e.POP != "fra1" || e.Consent != 7 || e.EventTime != t0 || e.IngestTime != t0 || e.ID.Version() != 7 || e.ID == uuid.Nil || e.Synthetic {
		t.Errorf("envelope %+v", e.Envelope)
	}
	if s.Model != "churn" || s.ModelVersion != "v1" || s.FeatureHash != feature.Player.Hash() || s.FeatureRevision != 7 || s.FeatureAsOf != t0-5000 || s.P != *a.Score ||
		s.Degraded != "" || s.Offer != "d-print" || s.Discount != 1000 || s.Propensity != a.Offer.Propensity || s.Holdout || !s.Eligible {
		t.Errorf("record %+v", s)
	}
	// The shadow scored the same vector.
	if want := 1 / (1 + math.Exp(-(raw + .5))); s.ShadowVersion != "v2" || math.Abs(s.ShadowP-want) > 1e-12 {
		t.Errorf("shadow %s %v, want %v", s.ShadowVersion, s.ShadowP, want)
	}
	// The vector is whole, and −1 for missing on the stream.
	if len(s.Vector) != len(feature.Player.Features) || s.Vector[feature.Player.Index("gap_mean_s")] != -1 || s.Vector[feature.Player.Index("recency_s")] != 5.001 {
		t.Errorf("vector %v", s.Vector)
	}
}

// Everybody is held out or not for good, whatever else they are asked, and the record says who was eligible.
func TestHoldout(t *testing.T) {
	r := newRig(t)
	r.serve()
	name, a := r.playerWhere("held out", func(a reply) bool { return a.Holdout })
	if a.Offer != nil || a.noOffer() != "holdout" || a.Degraded != nil || a.Score == nil {
		t.Errorf("answer %+v", a)
	}
	records := r.drain()
	if s := records[len(records)-1].Score; !s.Holdout || !s.Eligible || s.Offer != "" || s.Propensity != 0 {
		t.Errorf("record of %s: %+v", name, s)
	}
	name, a = r.playerWhere("left alone by chance", func(a reply) bool { return a.noOffer() == "not_chosen" })
	records = r.drain()
	if s := records[len(records)-1].Score; s.Holdout || !s.Eligible || s.Offer != "" || !(s.Propensity > 0) || a.Holdout {
		t.Errorf("record of %s: %+v", name, s)
	}
}

// Every degraded answer: 200, base rate of the champion's training or the configured one, no offer, its counter, its record.
func TestDegraded(t *testing.T) {
	var inline strings.Builder // every feature that must not be missing
	for _, f := range feature.Player.Features {
		if !f.Nullable {
			fmt.Fprintf(&inline, `%q:1,`, f.Name)
		}
	}
	whole := strings.TrimSuffix(inline.String(), ",")
	for _, c := range []struct {
		want    Degraded
		body    string
		header  string
		prepare func(*rig)
		base    float64
	}{
		{NoModel, asked, "", func(r *rig) { r.Decider.Models = NewModels(feature.Player, r.m, r.log) }, .4},
		{UnknownPlayer, strings.Replace(asked, `"p"`, `"nobody"`, 1), "", nil, .265},
		{Elsewhere, strings.Replace(asked, `"p"`, `"far"`, 1), "", nil, .265},
		{Stale, strings.Replace(asked, `1760000000000`, fmt.Sprint(t0-5000+28*day+1), 1), "", nil, .265},
		{FeaturesAhead, strings.Replace(asked, `1760000000000`, fmt.Sprint(t0-5000-60_001), 1), "", nil, .265},
		{NotFinite, `{"player":"p","consent":7,"features":{` + whole + `,"recency_s":1e999}}`, "", nil, .265},
		{NotFinite, `{"player":"p","consent":7,"features":{` + whole + `,"recency_s":nan}}`, "", nil, .265},
		{NotFinite, `{"player":"p","consent":7,"features":{` + whole + `,"gap_mean_s":-inf}}`, "", nil, .265},
		{FeatureHash, `{"player":"p","consent":7,"feature_hash":"beef","features":{` + whole + `}}`, "", nil, .265},
		{FeaturesIncomplete, `{"player":"p","consent":7,"features":{"recency_s":1}}`, "", nil, .265},
		{FeaturesIncomplete, `{"player":"p","consent":7,"features":{` + whole + `,"recency_s":null}}`, "", nil, .265},
		{Deadline, asked, "0", nil, .265},
		{Deadline, asked, "-20", nil, .265},
		{Deadline, asked, "1.5", func(r *rig) { r.step = time.Millisecond }, .265},
		{Deadline, asked, "4", func(r *rig) { r.step = time.Millisecond }, .265},
		{Deadline, asked, "", func(r *rig) { r.step = 20 * time.Millisecond }, .265}, // the default of 50 ms
	} {
		r := newRig(t, func(cfg *Config) { cfg.BaseRate = .4 })
		r.serve()
		if c.prepare != nil {
			c.prepare(r)
		}
		var headers []string
		if c.header != "" {
			headers = []string{headerBudget, c.header}
		}
		a := r.ask(c.body, headers...)
		if a.degraded() != c.want.String() || a.Score == nil || *a.Score != c.base || a.Version != nil || a.Offer != nil || a.noOffer() != "degraded" || len(a.Reasons) != 0 || a.Band != nil {
			t.Errorf("%v: %s gives %+v", c.want, c.body, a)
		}
		r.counted(r.m.decisions[c.want], 1)
		records := r.drain()
		if len(records) != 1 {
			t.Errorf("%v: %d records", c.want, len(records))
			continue
		}
		if s := records[0].Score; s.Degraded != c.want.String() || s.P != c.base || s.ModelVersion != "" || len(s.Vector) != 0 || s.ShadowVersion != "" || s.Eligible || s.Offer != "" {
			t.Errorf("%v: record %+v", c.want, s)
		}
	}
}

// Without consent to analytics there is no score and no record, and the time that is left does not change that.
func TestNoConsent(t *testing.T) {
	for _, c := range []struct{ body, budget, want string }{
		{`{"player":"p","drop":"d"}`, "50", "no_consent"},
		{`{"player":"p","drop":"d","consent":null}`, "50", "no_consent"},
		{`{"player":"p","drop":"d","consent":6}`, "50", "no_consent"},
		{`{"player":"p","drop":"d","consent":6}`, "0", "deadline"},
	} {
		r := newRig(t)
		r.serve()
		a := r.ask(c.body, headerBudget, c.budget)
		if a.degraded() != c.want || a.Score != nil || a.Offer != nil || a.Holdout || a.Features != nil {
			t.Errorf("%s gives %+v", c.body, a)
		}
		if n := len(r.drain()); n != 0 {
			t.Errorf("%d records", n)
		}
		r.counted(r.m.scores.WithLabelValues(scoreWithheld), 1)
	}
}

func TestNoOffer(t *testing.T) {
	for _, c := range []struct {
		want, body string
		prepare    func(*rig)
	}{
		{"no_drop", `{"player":"p","consent":7}`, nil},
		{"unknown_drop", `{"player":"p","consent":7,"drop":"x"}`, nil},
		{"drop_not_live", asked, func(r *rig) { r.drops["d"].EndMS = t0 }},
		{"drop_not_live", asked, func(r *rig) { r.drops["d"].StartMS = t0 + 1 }},
		{"no_offers", asked, func(r *rig) { r.drops["d"].Items = r.drops["d"].Items[2:] }},
		{"minor", strings.Replace(asked, `7`, `7,"minor":true`, 1), nil},
		{"no_personalisation_consent", strings.Replace(asked, `7`, `5`, 1), nil},
		{"no_marketing_consent", strings.Replace(asked, `7`, `3`, 1), func(r *rig) { r.drops["d"].Items = r.drops["d"].Items[:1] }},
		{"budget", asked, func(r *rig) {
			r.drops["d"].Items = r.drops["d"].Items[:1]
			r.Offers.left[ledger{"print", "EUR"}].Store(199)
		}},
	} {
		r := newRig(t)
		r.serve()
		if c.prepare != nil {
			c.prepare(r)
		}
		a := r.ask(c.body)
		if a.Offer != nil || a.noOffer() != c.want || a.Degraded != nil || a.Score == nil {
			t.Errorf("%s: %+v", c.want, a)
		}
		if s := r.drain()[0].Score; s.Eligible {
			t.Errorf("%s: eligible", c.want)
		}
	}
}

// Features that come with the request.
func TestInline(t *testing.T) {
	r := newRig(t)
	r.serve()
	body := `{"player":"new","consent":7,"feature_hash":"` + feature.Player.Hash() + `","features":{"gap_mean_s":null`
	for i, f := range feature.Player.Features {
		if !f.Nullable {
			body += fmt.Sprintf(`,%q:%d`, f.Name, i)
		}
	}
	a := r.ask(body + `},"synthetic":true}`)
	at := float64(feature.Player.Index("recency_s"))
	if want := 1 / (1 + math.Exp(1-.01*at/1000)); a.Score == nil || math.Abs(*a.Score-want) > 1e-12 || a.Features.Source != "request" {
		t.Errorf("%+v, want a score of %v", a, want)
	}
	e := r.drain()[0]
	if !e.Synthetic || e.Score.FeatureRevision != 0 || e.Score.FeatureAsOf != 0 || e.Score.Vector[feature.Player.Index("gap_mean_s")] != -1 {
		t.Errorf("record %+v", e)
	}
}

// A score of recency grows while a player stays away, and the clocks of client and edge may differ a little.
func TestScoringTime(t *testing.T) {
	r := newRig(t)
	r.serve()
	early := r.ask(strings.Replace(asked, "1760000000000", fmt.Sprint(t0-10_000), 1))
	if early.At != t0-5000 || early.Features.AgeMS != 0 {
		t.Errorf("scored as of %d, its features' newest event is at %d", early.At, t0-5000)
	}
	late := r.ask(strings.Replace(asked, "1760000000000", fmt.Sprint(t0+20*day), 1))
	if !(*late.Score > *early.Score) || late.Features.AgeMS != 20*day+5000 {
		t.Errorf("after 20 days %v, before %v", *late.Score, *early.Score)
	}
	if now := r.ask(`{"player":"p","consent":1}`); now.At != t0 {
		t.Errorf("without a time it is %d", now.At)
	}
}

func TestPrefetch(t *testing.T) {
	r := newRig(t, func(cfg *Config) {
		cfg.MissPerGB = func(pop string) int64 { return map[string]int64{"fra1": 80_000_000}[pop] }
	})
	r.serve()
	moved := `{"player":"p","consent":1,"assets":{"previous":"landing","current":"trailer"}}`
	for range 3 {
		r.ask(moved)
	}
	r.ask(strings.Replace(moved, `"p",`, `"p","synthetic":true,`, 1)) // warm-up traffic teaches nothing
	body := `{"player":"p","pop":"fra1","consent":0,"assets":{"current":"landing","candidates":[
		{"id":"trailer","bytes":1000000},{"id":"shop","bytes":2000000},{"id":"had","bytes":9000000,"cached":true},{"id":"huge","bytes":11000000}]}}`
	a := r.ask(body)
	// (3+1)/(3+4) of 1 MB, 1/7 of 2 MB; nothing about the player is in it, so no consent is needed.
	if len(a.Prefetch) != 2 || a.Prefetch[0].ID != "trailer" || a.Prefetch[1].ID != "shop" || math.Abs(a.Prefetch[0].P-4.0/7) > 1e-12 || a.Prefetch[0].Saving != 45_714 {
		t.Errorf("prefetch %+v", a.Prefetch)
	}
	if a := r.ask(body, headerBudget, "0"); len(a.Prefetch) != 0 {
		t.Errorf("too late: %+v", a.Prefetch)
	}
}

func TestMalformed(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("x", 257)
	for _, c := range []struct{ body, field string }{
		{``, ""}, {`{`, ""}, {`[]`, ""}, {`{"player":"p"} x`, ""}, {`"p"`, ""},
		{`{}`, "player"}, {`{"player":""}`, "player"}, {`{"player":5}`, "player"}, {`{"player":"` + long + `"}`, "player"}, {"{\"player\":\"\xff\"}", "player"},
		{`{"player":"p","drop":[]}`, "drop"}, {`{"player":"p","pop":1}`, "pop"},
		{`{"player":"p","consent":8}`, "consent"}, {`{"player":"p","consent":-1}`, "consent"}, {`{"player":"p","consent":"7"}`, "consent"}, {`{"player":"p","consent":1.5}`, "consent"},
		{`{"player":"p","minor":1}`, "minor"}, {`{"player":"p","synthetic":"no"}`, "synthetic"},
		{`{"player":"p","at":0}`, "at"}, {`{"player":"p","at":9223372036854775807}`, "at"}, {`{"player":"p","at":"now"}`, "at"},
		{`{"player":"p","features":[]}`, "features"}, {`{"player":"p","features":{"nope":1}}`, "features.nope"}, {`{"player":"p","features":{"recency_s":"1"}}`, "features.recency_s"},
		{`{"player":"p","feature_hash":1}`, "feature_hash"},
		{`{"player":"p","assets":[]}`, "assets"}, {`{"player":"p","assets":{"current":1}}`, "assets.current"}, {`{"player":"p","assets":{"candidates":{}}}`, "assets.candidates"},
		{`{"player":"p","assets":{"candidates":[1]}}`, "assets.candidates[0]"}, {`{"player":"p","assets":{"candidates":[{"id":"a"}]}}`, "assets.candidates[0]"},
		{`{"player":"p","assets":{"candidates":[{"id":"a","bytes":1},{"id":"","bytes":1}]}}`, "assets.candidates[1].id"},
		{`{"player":"p","assets":{"candidates":[{"id":"a","bytes":-1}]}}`, "assets.candidates[0].bytes"},
		{`{"player":"p","assets":{"candidates":[{"id":"a","bytes":1,"cached":0}]}}`, "assets.candidates[0].cached"},
		{`{"player":"p","assets":{"candidates":[` + strings.TrimSuffix(strings.Repeat(`{"id":"a","bytes":1},`, 257), ",") + `]}}`, "assets.candidates"},
	} {
		w := r.post(c.body)
		if field := errorField(t, w.Body.String()); w.Code != http.StatusBadRequest || field != c.field {
			t.Errorf("%.80s: status %d, %s; want field %q", c.body, w.Code, w.Body, c.field)
		}
	}
	if w := r.post(`{"player":"` + strings.Repeat("x", maxBody) + `"}`); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: status %d", w.Code)
	}
	for _, header := range [][2]string{{headerBudget, "soon"}, {headerBudget, "NaN"}, {headerBudget, "1e300"}, {headerUntil, "-1"}, {headerUntil, "12.5"}} {
		if w := r.post(asked, header[0], header[1]); w.Code != http.StatusBadRequest || errorField(t, w.Body.String()) != header[0] {
			t.Errorf("%v: status %d, %s", header, w.Code, w.Body)
		}
	}
	if n := len(r.drain()); n != 0 {
		t.Errorf("%d records of malformed requests", n)
	}
}

// Every prefix of a request is refused, and none breaks anything.
func TestPrefixes(t *testing.T) {
	r := newRig(t)
	r.serve()
	body := `{"player":"p","drop":"d","consent":7,"features":{"recency_s":1.5e3},"assets":{"current":"a","candidates":[{"id":"b","bytes":1,"cached":false}]}}`
	for i := range body {
		if w := r.post(body[:i]); w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d", body[:i], w.Code)
		}
	}
	r.ask(body)
}

func TestDeadlineHeaders(t *testing.T) {
	r := newRig(t)
	now := time.UnixMilli(t0)
	for _, c := range []struct {
		budget, until string
		want          time.Duration
	}{
		{"", "", 50 * time.Millisecond}, {"12.5", "", 12500 * time.Microsecond}, {"", fmt.Sprint(t0 + 7), 7 * time.Millisecond},
		{"5", fmt.Sprint(t0 + 7), 5 * time.Millisecond}, {"9", fmt.Sprint(t0 + 7), 7 * time.Millisecond}, {"", fmt.Sprint(t0 - 1000), -time.Second},
	} {
		h := http.Header{}
		if c.budget != "" {
			h.Set(headerBudget, c.budget)
		}
		if c.until != "" {
			h.Set(headerUntil, c.until)
		}
		if until, err := r.deadline(h, now); err != nil || until.Sub(now) != c.want {
			t.Errorf("%+v: %v, %v", c, until.Sub(now), err)
		}
	}
}

// A full queue and a broker that is away cost records, which are counted, and no answer.
func TestScoreQueue(t *testing.T) {
	r := newRig(t, func(cfg *Config) { cfg.Queue = 3 })
	r.serve()
	for range 5 {
		r.ask(asked)
	}
	r.counted(r.m.scores.WithLabelValues(scoreDropped), 2)
	if n := len(r.drain()); n != 3 {
		t.Errorf("%d records", n)
	}
	r.counted(r.m.scores.WithLabelValues(scoreProduced), 3)

	r.scores.fail = errors.New("the broker is away")
	r.ask(asked)
	r.ask(asked)
	if n := len(r.drain()); n != 1 { // the first one's failure is over after the flush
		t.Errorf("%d records", n)
	}
	r.counted(r.m.scores.WithLabelValues(scoreFailed), 1)
}

// A broker that takes nothing holds up neither answers nor, for long, the end.
func TestBlockedBroker(t *testing.T) {
	r := newRig(t, func(cfg *Config) { cfg.Queue = 2 })
	r.serve()
	r.scores.blocked = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	for range 20 {
		if a := r.ask(asked); a.Degraded != nil {
			t.Fatalf("degraded: %v", *a.Degraded)
		}
	}
	close(r.scores.blocked)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestConfigProblems(t *testing.T) {
	negative := int64(-1)
	_, err := New(Config{Deadline: -1, BaseRate: 2, Offers: OffersConfig{Rules: []Rule{
		{Name: "a", SKU: "[", MarginBPS: &negative}, {Name: "a", SKU: "*", DiscountBPS: 10_001}, {SKU: "*", DiscountBPS: 7000, MarginBPS: &margin, Budget: map[string]int64{"EURO": 1}},
	}, Bands: []float64{2}}})
	for _, want := range []string{"features are required", "negative", "no probability", "pattern", "two rules", "10001", "no name", "no sale would pay", "EURO", "bands"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the problems leave out %q: %v", want, err)
		}
	}
}

// BenchmarkDecide is the handler alone: request read, features, score, offer, answer, and the record with its shadow.
func BenchmarkDecide(b *testing.B) {
	r := newRig(&testing.T{}, func(cfg *Config) { cfg.Now = nil })
	r.serve()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error)
	go func() { ran <- r.Run(ctx) }()
	w := &nobody{header: http.Header{}}
	body := strings.NewReader(asked)
	req := httptest.NewRequest("POST", "/v1/decide", nil)
	req.Body, req.ContentLength = io.NopCloser(body), int64(len(asked))
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(asked)
		r.ServeHTTP(w, req)
	}
	cancel()
	if err := <-ran; err != nil {
		b.Error(err)
	}
}

// nobody reads an answer.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) WriteHeader(int)             {}
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }

package edge

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// champion that serves now, and shadow; empty for none.
func (r *rig) serving() (champion, shadow string) {
	s := r.Models.Serving("churn")
	if s == nil {
		return "", ""
	}
	if s.Champion != nil {
		champion = s.Champion.Version
	}
	if s.Shadow != nil {
		shadow = s.Shadow.Version
	}
	return champion, shadow
}

// What a record may carry is what may be opened.
func TestOneBoundOfArtefacts(t *testing.T) {
	if event.MaxArtefactBytes != scoring.MaxBytes {
		t.Errorf("records carry up to %d bytes, artefacts have up to %d", event.MaxArtefactBytes, scoring.MaxBytes)
	}
}

// A bad artefact of any kind has its class and counter, never reaches scoring, and the champion stays.
func TestBadArtefacts(t *testing.T) {
	good := published(t, artefact(t, "v3", 0, 1), t0)
	file, err := good.File()
	if err != nil {
		t.Fatal(err)
	}
	// resealed is the file with a change and a checksum to match, as a faulty or newer trainer would write it.
	resealed := func(change func(*scoring.Artefact)) event.Model {
		a := artefact(t, "v3", 0, 1, change)
		if a.Format == 0 {
			a.Format = scoring.Format
		}
		m := good
		m.Artefact, m.Checksum = event.PackArtefact(sealed(t, a)), a.Checksum
		m.FeatureHash = a.Features.Hash
		return m
	}
	for _, c := range []struct {
		want  error
		class string
		model event.Model
	}{
		{ErrGzip, "gzip", with(good, func(m *event.Model) { m.Artefact = file })},
		{ErrGzip, "gzip", with(good, func(m *event.Model) { m.Artefact = m.Artefact[:len(m.Artefact)/2] })},
		{ErrGzip, "gzip", with(good, func(m *event.Model) {
			m.Artefact = bytes.Clone(m.Artefact)
			m.Artefact[len(m.Artefact)-6] ^= 1 // the CRC
		})},
		{scoring.ErrMalformed, "malformed", with(good, func(m *event.Model) { m.Artefact = event.PackArtefact(file[:len(file)-9]) })},
		{scoring.ErrMalformed, "malformed", with(good, func(m *event.Model) { m.Artefact = event.PackArtefact([]byte("{} {}")) })},
		{scoring.ErrTooLarge, "too_large", with(good, func(m *event.Model) { m.Artefact = event.PackArtefact(make([]byte, scoring.MaxBytes+1)) })},
		{scoring.ErrChecksum, "checksum", with(good, func(m *event.Model) {
			m.Artefact = event.PackArtefact(bytes.Replace(file, []byte(`"weights":[1]`), []byte(`"weights":[9]`), 1))
		})},
		{scoring.ErrNewer, "newer", resealed(func(a *scoring.Artefact) { a.Format = scoring.Format + 1 })},
		{scoring.ErrFeatures, "features", resealed(func(a *scoring.Artefact) { a.Features.Hash = "beef" })},
		{scoring.ErrFeatures, "features", resealed(func(a *scoring.Artefact) { a.Features.Names = []string{"shoe_size"} })},
		{scoring.ErrGolden, "golden", resealed(func(a *scoring.Artefact) { a.Golden[0].P += 1e-3 })},
		{ErrMismatch, "mismatch", with(good, func(m *event.Model) { m.Checksum = strings.Repeat("0", 64) })},
		{ErrMismatch, "mismatch", with(good, func(m *event.Model) { m.Version = "v4" })},
		{ErrMismatch, "mismatch", with(good, func(m *event.Model) { m.FeatureHash = "beef" })},
		{ErrChanged, "changed", published(t, artefact(t, "v1", 5, 5), t0+5)},
	} {
		r := newRig(t)
		r.serve()
		if err := take(r.Models, c.model); !errors.Is(err, c.want) || Class(err) != c.class {
			t.Errorf("%v gives %v, class %s", c.want, err, Class(err))
		}
		r.counted(r.m.models.refused.WithLabelValues("model", c.class), 1)
		if errors.Is(c.want, ErrChanged) {
			continue
		}
		// Promoted all the same, it is not there.
		if err := promote(r.Models, "v3", ""); !errors.Is(err, ErrVersion) {
			t.Errorf("%s: promoted with %v", c.class, err)
		}
		r.counted(r.m.models.refused.WithLabelValues("rollout", "unknown_version"), 1)
		if champion, shadow := r.serving(); champion != "v1" || shadow != "v2" {
			t.Errorf("%s: %s and %s serve", c.class, champion, shadow)
		}
		if a := r.ask(asked); a.Version == nil || *a.Version != "v1" {
			t.Errorf("%s: answered by %v", c.class, a.Version)
		}
	}
	r := newRig(t)
	for _, value := range []string{"", "{", `{"name":"churn"}`} {
		if err := r.Models.Model([]byte("churn|v"), []byte(value)); !errors.Is(err, ErrRecord) {
			t.Errorf("model %q: %v", value, err)
		}
		if err := r.Models.Rollout([]byte("churn"), []byte(value)); !errors.Is(err, ErrRecord) {
			t.Errorf("rollout %q: %v", value, err)
		}
	}
}

func with(m event.Model, change func(*event.Model)) event.Model {
	change(&m)
	return m
}

// sealed is Seal without its refusals.
func sealed(t *testing.T, a *scoring.Artefact) []byte {
	t.Helper()
	// A record that Open refuses for its checksum says which one it should have been; asking it would prove nothing, so
	// it is computed as the format says: over the file with the field empty.
	a.Checksum = ""
	body, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	a.Checksum = hexSum(body)
	file, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// At every start a rollout may be read before its models: that is no error until somebody has to act on it.
func TestRolloutAheadOfItsModel(t *testing.T) {
	var log bytes.Buffer
	r := newRig(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	if err := promote(r.Models, "v1", ""); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "class=unknown_version") || strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("it logs %s", &log)
	}
	if err := r.Models.Rollout([]byte("churn"), []byte("{")); !errors.Is(err, ErrRecord) || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("a broken record is %v, and logs %s", err, &log)
	}
}

// The rollout may come before its models, a shadow that is missing holds nobody up, and a rollback is a rollout.
func TestRollouts(t *testing.T) {
	r := newRig(t)
	expect := func(step, champion, shadow string) {
		t.Helper()
		if c, s := r.serving(); c != champion || s != shadow {
			t.Errorf("%s: %q and %q serve, want %q and %q", step, c, s, champion, shadow)
		}
	}
	v1, v2, v3 := published(t, artefact(t, "v1", -1, .01), t0), published(t, artefact(t, "v2", -2, .01), t0+1), published(t, artefact(t, "v3", -3, .01), t0+2)
	expect("at the start", "", "")
	if err := promote(r.Models, "v1", ""); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
	expect("before the model", "", "")
	if err := take(r.Models, v1); err != nil {
		t.Error(err)
	}
	expect("once it is there", "v1", "")
	if err := promote(r.Models, "v2", "v3"); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
	expect("promoting what is not there", "v1", "")
	if err := take(r.Models, v2); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
	expect("without the shadow", "v2", "")
	if err := take(r.Models, v3); err != nil {
		t.Error(err)
	}
	expect("with the shadow", "v2", "v3")
	if err := promote(r.Models, "v1", ""); err != nil {
		t.Error(err)
	}
	expect("rolled back", "v1", "")
	if err := r.Models.Model([]byte("churn|v1"), nil); err != nil {
		t.Error(err)
	}
	expect("withdrawing what serves", "v1", "")
	if err := r.Models.Model([]byte("churn|v3"), nil); err != nil {
		t.Error(err)
	}
	if err := promote(r.Models, "v3", ""); !errors.Is(err, ErrVersion) {
		t.Errorf("promoting a withdrawn one: %v", err)
	}
	if err := promote(r.Models, "", ""); err != nil {
		t.Error(err)
	}
	expect("nobody", "", "")
	if a := r.ask(asked); a.degraded() != "no_model" {
		t.Errorf("answer %+v", a)
	}
}

// Champions are swapped while requests run; each answer is whole: its score is that of the version it names.
func TestSwapUnderLoad(t *testing.T) {
	r := newRig(t)
	r.serve()
	scores := map[string]float64{}
	for _, v := range []string{"v1", "v2"} {
		if err := promote(r.Models, v, ""); err != nil {
			t.Fatal(err)
		}
		scores[v] = *r.ask(asked).Score
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 500 {
				w := r.post(asked)
				var a reply
				if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || a.Version == nil || *a.Score != scores[*a.Version] {
					t.Errorf("answer %s, %v", w.Body, err)
					return
				}
			}
		})
	}
	for i := range 200 {
		if err := promote(r.Models, []string{"v1", "v2"}[i%2], []string{"v2", "v1"}[i%2]); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
}

func TestDownload(t *testing.T) {
	r := newRig(t)
	get := func(path string, headers ...string) *httptest.ResponseRecorder {
		req := httptest.NewRequest("GET", path, nil)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		r.mux.ServeHTTP(w, req)
		return w
	}
	if w := get("/v1/models/churn"); w.Code != http.StatusNotFound {
		t.Errorf("nobody was promoted: %d", w.Code)
	}
	r.serve()
	w := get("/v1/models/churn")
	tag := w.Header().Get("ETag")
	s, err := scoring.Open(w.Body.Bytes(), feature.Player)
	if err != nil || s.Artefact().Version != "v1" || tag != `"`+s.Artefact().Checksum+`"` {
		t.Fatalf("status %d, ETag %s, %v", w.Code, tag, err)
	}
	for header, want := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, strings.Trim(tag, `"`): 200} {
		if w := get("/v1/models/churn", "If-None-Match", header); w.Code != want || (want == 304) != (w.Body.Len() == 0) {
			t.Errorf("If-None-Match %s: status %d with %d bytes", header, w.Code, w.Body.Len())
		}
	}
	if err := promote(r.Models, "v2", "v1"); err != nil {
		t.Fatal(err)
	}
	if w := get("/v1/models/churn", "If-None-Match", tag); w.Code != 200 || w.Header().Get("X-Model-Version") != "v2" {
		t.Errorf("another champion: status %d", w.Code)
	}
	if w := get("/v1/models/churn?version=v1"); w.Code != 200 || w.Header().Get("ETag") != tag {
		t.Errorf("by version: status %d", w.Code)
	}
	for _, path := range []string{"/v1/models/other", "/v1/models/churn?version=v9"} {
		if w := get(path); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	var all struct{ Models []listed }
	if err := json.Unmarshal(get("/v1/models").Body.Bytes(), &all); err != nil || len(all.Models) != 2 {
		t.Fatalf("%v: %+v", err, all)
	}
	if m := all.Models[0]; m.Version != "v2" || m.Role != "champion" || m.Kind != "logistic" || m.Bytes == 0 {
		t.Errorf("%+v", m)
	}
	if m := all.Models[1]; m.Version != "v1" || m.Role != "shadow" || `"`+m.Checksum+`"` != tag {
		t.Errorf("%+v", m)
	}
}

// Learners publish for ever: the oldest versions that nobody names are forgotten.
func TestEviction(t *testing.T) {
	r := newRig(t)
	r.serve()
	one := artefact(t, "x", 0, 1)
	for i := range keepVersions + 10 {
		one.Version = "c" + strings.Repeat("i", i)
		if err := take(r.Models, published(t, one, t0+10+int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.Models.list()); n != keepVersions {
		t.Errorf("%d versions are held", n)
	}
	r.counted(r.m.models.evicted, 12)
	if champion, shadow := r.serving(); champion != "v1" || shadow != "v2" {
		t.Errorf("%s and %s serve", champion, shadow)
	}
}

package edge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// Errors of a model or rollout record, beside those of scoring.Open, for errors.Is. The last good champion stays whatever is wrong.
var (
	ErrRecord   = errors.New("edge: the record cannot be read")
	ErrGzip     = errors.New("edge: the artefact is not whole gzip")
	ErrMismatch = errors.New("edge: the record and its artefact disagree")
	ErrChanged  = errors.New("edge: another artefact was published under this version before")
	ErrVersion  = errors.New("edge: the rollout names a version that is not here")
)

// refusals are the classes of refused records beside those of artefacts, as metric labels.
var refusals = []struct {
	err   error
	class string
}{
	{ErrRecord, "record"}, {ErrGzip, "gzip"}, {ErrMismatch, "mismatch"}, {ErrChanged, "changed"}, {ErrVersion, "unknown_version"},
}

// Class of an error that Models returned: the closed list of what a bad model can be, as a metric label.
func Class(err error) string {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.class
		}
	}
	return cmp.Or(scoring.Refusal(err), "other")
}

// keepVersions bounds how many versions of one model are held that no rollout names.
const keepVersions = 256

// Models is the registry in memory, fed by the topics model and rollout, in their order. Records come from one goroutine
// at a time; everything else may be called by any number of them.
type Models struct {
	set *feature.Set
	log *slog.Logger
	m   *modelMetrics

	// mu is held to change the maps, and by those who read them besides the one who changes them. Nobody holds it
	// while an artefact is opened: requests would wait.
	mu    sync.RWMutex
	names map[string]*line
}

// line is one model's versions. rollout and refused belong to the goroutine that brings records.
type line struct {
	versions map[string]*version
	rollout  event.Rollout // the newest one, also while it cannot be followed
	refused  bool
	serving  atomic.Pointer[Serving]
}

// version is one good artefact; it never changes. The scorer is opened again when a rollout names it.
type version struct {
	event.Model // the artefact in gzip
	bytes       int
}

// Serving is what answers now: immutable, swapped as a whole.
type Serving struct {
	// Champion answers, Shadow scores the same vectors unseen; each may be nil.
	Champion, Shadow *Served
}

// Served is an opened model.
type Served struct {
	*scoring.Scorer
	// Version and Checksum are the artefact's.
	Version, Checksum string
	// BaseRate is that of its training rows.
	BaseRate float64
	// at is where each of the model's features stands in the set.
	at []int
}

// NewModels knows no model. set is what vectors are of.
func NewModels(set *feature.Set, m *Metrics, log *slog.Logger) *Models {
	return &Models{set: set, m: &m.models, log: log, names: map[string]*line{}}
}

// Serving of a model; nil, or without a champion, before one was promoted.
func (r *Models) Serving(name string) *Serving {
	r.mu.RLock()
	l := r.names[name]
	r.mu.RUnlock()
	if l == nil {
		return nil
	}
	return l.serving.Load()
}

// Model takes one record of topic model; no value withdraws a version. An error says what is wrong with it; it is
// counted and logged here, and nothing changes.
func (r *Models) Model(key, value []byte) error {
	name, err := r.model(key, value)
	if err != nil {
		r.refuse(event.KindModel, key, err)
		return err
	}
	// A rollout may have waited for this version.
	if l := r.names[name]; l != nil && l.refused {
		return r.follow(name, l)
	}
	return nil
}

func (r *Models) model(key, value []byte) (name string, err error) {
	if value == nil {
		name, v, _ := strings.Cut(string(key), "|")
		r.withdraw(name, v)
		return name, nil
	}
	var m event.Model
	var d event.Decoder
	if bad := d.Model(value, &m); bad != nil {
		return "", fmt.Errorf("%w: %w", ErrRecord, bad)
	}
	opened, size, err := r.open(&m)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.names[m.Name]
	if l == nil {
		l = &line{versions: map[string]*version{}}
		r.names[strings.Clone(m.Name)] = l
	}
	if old := l.versions[m.Version]; old != nil {
		if old.Checksum != m.Checksum {
			return "", fmt.Errorf("%w: %s has the checksum %.12s…, now %.12s…", ErrChanged, m.Version, old.Checksum, m.Checksum)
		}
		return m.Name, nil
	}
	a := opened.Artefact()
	v := &version{bytes: size, Model: event.Model{
		Name: a.Name, Version: a.Version, Kind: a.Kind, PublishedAt: m.PublishedAt, FeatureHash: a.Features.Hash, Checksum: a.Checksum,
		Artefact: slices.Clone(m.Artefact),
	}}
	l.versions[v.Version] = v
	l.trim(r.m)
	r.m.accepted.Inc()
	return v.Name, nil
}

// trim forgets the oldest versions beyond those that are kept.
func (l *line) trim(m *modelMetrics) {
	for len(l.versions) > keepVersions {
		var oldest *version
		for _, v := range l.versions {
			if !l.named(v.Version) && (oldest == nil || v.PublishedAt < oldest.PublishedAt) {
				oldest = v
			}
		}
		if oldest == nil {
			return
		}
		delete(l.versions, oldest.Version)
		m.evicted.Inc()
	}
}

func (l *line) named(version string) bool {
	if s := l.serving.Load(); s != nil && (s.Champion != nil && s.Champion.Version == version || s.Shadow != nil && s.Shadow.Version == version) {
		return true
	}
	return version == l.rollout.Champion || version == l.rollout.Shadow || version == l.rollout.Previous
}

func (r *Models) withdraw(name, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.names[name]; l != nil && !l.named(version) {
		delete(l.versions, version)
	}
}

// open proves an artefact and returns its scorer and its size.
func (r *Models) open(m *event.Model) (*Served, int, error) {
	file, err := m.File()
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrGzip, err)
	}
	scorer, err := scoring.Open(file, r.set)
	if err != nil {
		return nil, 0, err
	}
	a := scorer.Artefact()
	if a.Name != m.Name || a.Version != m.Version || a.Checksum != m.Checksum || a.Features.Hash != m.FeatureHash {
		return nil, 0, fmt.Errorf("%w: %s %s with checksum %.12s… holds %s %s with %.12s…", ErrMismatch, m.Name, m.Version, m.Checksum, a.Name, a.Version, a.Checksum)
	}
	at, err := r.set.Position(a.Features.Names)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", scoring.ErrFeatures, err)
	}
	base := -1.0
	if t := a.Training; t.Rows > 0 && t.Positives >= 0 && t.Positives <= t.Rows {
		base = float64(t.Positives) / float64(t.Rows)
	}
	return &Served{Scorer: scorer, Version: a.Version, Checksum: a.Checksum, BaseRate: base, at: at}, len(file), nil
}

// Rollout takes one record of topic rollout. One that names a version which is not here, or no value, is refused, and
// what serves stays; it is followed as soon as the version comes.
func (r *Models) Rollout(key, value []byte) error {
	var v event.Rollout
	var d event.Decoder
	if bad := d.Rollout(value, &v); bad != nil {
		err := fmt.Errorf("%w: %w", ErrRecord, bad)
		r.refuse(event.KindRollout, key, err)
		return err
	}
	for _, text := range []*string{&v.Name, &v.Champion, &v.Shadow, &v.Previous, &v.Action, &v.Reason} {
		*text = strings.Clone(*text)
	}
	r.mu.Lock()
	l := r.names[v.Name]
	if l == nil {
		l = &line{versions: map[string]*version{}}
		r.names[v.Name] = l
	}
	r.mu.Unlock()
	l.rollout = v
	return r.follow(v.Name, l)
}

// follow makes what the newest rollout names answer.
func (r *Models) follow(name string, l *line) error {
	err := r.swap(name, l)
	l.refused = err != nil
	if err != nil {
		r.refuse(event.KindRollout, []byte(name), err)
	}
	return err
}

func (r *Models) swap(name string, l *line) error {
	now := &Serving{}
	was := l.serving.Load()
	if was == nil {
		was = &Serving{}
	}
	champion, err := r.served(l, l.rollout.Champion, was)
	if err != nil {
		return fmt.Errorf("champion of %s: %w", name, err)
	}
	now.Champion = champion
	// A shadow that is not here does not hold up the champion.
	now.Shadow, err = r.served(l, l.rollout.Shadow, was)
	if err != nil {
		err = fmt.Errorf("shadow of %s: %w", name, err)
	}
	l.serving.Store(now)
	r.m.serves(name, now)
	r.log.Info("models swapped", "model", name, "champion", l.rollout.Champion, "shadow", l.rollout.Shadow, "action", l.rollout.Action)
	return err
}

// served opens a version, or keeps the one that is open.
func (r *Models) served(l *line, name string, was *Serving) (*Served, error) {
	if name == "" {
		return nil, nil
	}
	for _, open := range []*Served{was.Champion, was.Shadow} {
		if open != nil && open.Version == name {
			return open, nil
		}
	}
	v := l.versions[name]
	if v == nil {
		return nil, fmt.Errorf("%w: %s", ErrVersion, name)
	}
	s, _, err := r.open(&v.Model)
	return s, err
}

func (r *Models) refuse(kind event.Kind, key []byte, err error) {
	class := Class(err)
	r.m.refused.WithLabelValues(kind.String(), class).Inc()
	level, what := slog.LevelError, "a model record is refused; what serves stays"
	if errors.Is(err, ErrVersion) {
		// It may still come: at every start rollouts are read beside the models that they name.
		level, what = slog.LevelWarn, "a rollout waits for its model; what serves stays"
	}
	r.log.Log(context.Background(), level, what, "kind", kind.String(), "key", string(key), "class", class, "error", err)
}

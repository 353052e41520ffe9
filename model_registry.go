package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// modelRegistry is what the topics model and rollout say: which versions there are, and which answer.
type modelRegistry struct {
	log      *slog.Logger
	versions map[modelKey]*event.Model
	rollouts map[string]event.Rollout
}

type modelKey struct{ name, version string }

// topicReader calls each with the records of a topic of one partition, in their order.
type topicReader func(ctx context.Context, topic string, each func(event.Record) error) error

// readModelRegistry reads what is committed now.
func readModelRegistry(ctx context.Context, conf kafka.Config, log *slog.Logger) (*modelRegistry, error) {
	return loadModelRegistry(ctx, conf, log, func(ctx context.Context, topic string, each func(event.Record) error) error {
		var failed error
		err := kafka.Read(ctx, conf, kafka.ReadConfig{Topic: topic}, func(_ int32, r event.Record) {
			if failed == nil {
				failed = each(r)
			}
		})
		return errors.Join(err, failed)
	})
}

// loadModelRegistry reads both topics. A record that cannot be decoded is told of and left out: it must not keep
// people from rolling back.
func loadModelRegistry(ctx context.Context, conf kafka.Config, log *slog.Logger, read topicReader) (*modelRegistry, error) {
	r := &modelRegistry{log: log, versions: map[modelKey]*event.Model{}, rollouts: map[string]event.Rollout{}}
	var decoder event.Decoder
	unusable := func(record event.Record, err *event.Error) error {
		log.Warn("a record cannot be used", "topic", conf.Topic(record.Kind), "offset", record.Offset, "error", err)
		return nil
	}
	err := read(ctx, conf.Topic(event.KindModel), func(record event.Record) error {
		name, version, ok := strings.Cut(string(record.Key), "|")
		if len(record.Value) == 0 && ok {
			delete(r.versions, modelKey{name, version})
			return nil
		}
		model := new(event.Model)
		if err := decoder.Model(record.Value, model); err != nil {
			return unusable(record, err)
		}
		r.versions[modelKey{model.Name, model.Version}] = model
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, read(ctx, conf.Topic(event.KindRollout), func(record event.Record) error {
		if len(record.Value) == 0 {
			delete(r.rollouts, string(record.Key))
			return nil
		}
		var rollout event.Rollout
		if err := decoder.Rollout(record.Value, &rollout); err != nil {
			return unusable(record, err)
		}
		r.rollouts[rollout.Name] = rollout
		return nil
	})
}

// list is all versions, by name, the newest first.
func (r *modelRegistry) list() []*event.Model {
	models := make([]*event.Model, 0, len(r.versions))
	for _, m := range r.versions {
		models = append(models, m)
	}
	slices.SortFunc(models, func(a, b *event.Model) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.PublishedAt, a.PublishedAt), cmp.Compare(b.Version, a.Version))
	})
	return models
}

// find is the model of a version, of any name: versions begin with their model's name by custom only, so that two models may
// have one of the same.
func (r *modelRegistry) find(version string) (*event.Model, error) {
	var found *event.Model
	for _, m := range r.list() {
		switch {
		case m.Version != version:
		case found != nil:
			return nil, fmt.Errorf("both model %s and model %s have a version %q: publish one of them under another", found.Name, m.Name, version)
		default:
			found = m
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no version %q is published; droplift model list shows which are", version)
	}
	return found, nil
}

// open proves the version's artefact and gives its scorer and file.
func (r *modelRegistry) open(name, version string) (*scoring.Scorer, []byte, error) {
	m, ok := r.versions[modelKey{name, version}]
	if !ok {
		return nil, nil, fmt.Errorf("version %q of model %s is not published", version, name)
	}
	file, err := m.File()
	if err != nil {
		err = fmt.Errorf("%w: unpack: %w", scoring.ErrMalformed, err)
		return nil, nil, fmt.Errorf("version %s is refused (%s): %w", version, refusalOf(err), err)
	}
	scorer, err := scoring.Open(file, feature.Player)
	if err != nil {
		return nil, nil, fmt.Errorf("version %s is refused (%s): %w", version, refusalOf(err), err)
	}
	return scorer, file, nil
}

// names are the models with a rollout, in order.
func (r *modelRegistry) names() []string { return slices.Sorted(maps.Keys(r.rollouts)) }

// byRank orders the indices of values by rising value.
func byRank(values []float64) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	return order
}

// byMagnitude orders the indices of values by falling magnitude.
func byMagnitude(values []float64) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(math.Abs(values[b]), math.Abs(values[a])) })
	return order
}

// role says what a version does now.
func (r *modelRegistry) role(m *event.Model) string {
	rollout := r.rollouts[m.Name]
	switch m.Version {
	case rollout.Champion:
		return "champion"
	case rollout.Shadow:
		return "shadow"
	case rollout.Previous:
		return "previous"
	}
	return ""
}

// decideOnModels reads the newest state, lets decide make records of it, and writes all of them or none. Nobody's
// decision is overwritten unseen: when another one is begun meanwhile, the earlier of the two ends in
// kafka.ErrDecisionFenced and nothing of it is ever seen. decide returns nothing to leave all as it is.
func decideOnModels(ctx context.Context, conf kafka.Config, log *slog.Logger, decide func(*modelRegistry) ([]event.Message, error)) error {
	decider, err := kafka.NewDecider(ctx, conf)
	if err != nil {
		return err
	}
	defer decider.Close()
	registry, err := loadModelRegistry(ctx, conf, log, decider.Read)
	if err != nil {
		return err
	}
	messages, err := decide(registry)
	if err != nil || len(messages) == 0 {
		return err
	}
	return decider.Commit(ctx, messages...)
}

// rolloutMessage is the record of a rollout.
func rolloutMessage(r event.Rollout) event.Message {
	return event.Message{Kind: event.KindRollout, Key: []byte(r.Name), Value: r.AppendJSON(nil)}
}

// modelMessage is the record of an artefact.
func modelMessage(a *scoring.Artefact, file []byte, at time.Time) (event.Message, error) {
	m := event.Model{
		Name: a.Name, Version: a.Version, Kind: a.Kind, PublishedAt: at.UnixMilli(),
		FeatureHash: a.Features.Hash, Checksum: a.Checksum, Artefact: event.PackArtefact(file),
	}
	return event.Message{Kind: event.KindModel, Key: []byte(a.Name + "|" + a.Version), Value: m.AppendJSON(nil)}, nil
}

// refusalOf names why an artefact was not opened.
func refusalOf(err error) string {
	return cmp.Or(scoring.Refusal(err), "unknown")
}

// featureSet is a contract as ClickHouse's queries need it.
func featureSet(s *feature.Set) clickhouse.FeatureSet {
	out := clickhouse.FeatureSet{Hash: s.Hash(), Name: s.Name, Version: s.Version, Names: s.Names()}
	for _, f := range s.Features {
		out.Nullable = append(out.Nullable, f.Nullable)
	}
	return out
}

package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/droplift/droplift/ingest/event"
)

const (
	// maxRawBytes bounds a batch on a raw topic. It is above event.MaxRecordBytes, so that a
	// record that is too large reaches the processors, which dead-letter it by name.
	maxRawBytes = 2 << 20
	// maxDerivedBytes bounds a batch on the other topics: a dead letter carries the largest raw
	// record in base64 and its own fields.
	maxDerivedBytes = 4 << 20
)

// Topics says which topics an installation has.
type Topics struct {
	// Partitions of player, latency, checkout, features, velocity and the change-logs,
	// which must agree: a player's records meet in one partition number. Default 4.
	// It cannot be changed later without a replay: keys would move.
	Partitions int32
	// SubtitlePartitions of the subtitle topic, keyed by stream. Default 4.
	SubtitlePartitions int32
	// Replication factor. Default: the broker's.
	Replication int16
	// RawRetention of raw records, at most 30 days by DOMAIN 10. Default 14 days.
	RawRetention time.Duration
	// DerivedRetention of velocity, dead letters and late records. Default 28 days.
	DerivedRetention time.Duration
	// Groups are the stages' consumer groups; each has a change-log.
	Groups []string
}

// Topic is one topic as it should be.
type Topic struct {
	Name       string
	Partitions int32
	// CoPartitioned topics must have exactly Partitions; others may have grown.
	CoPartitioned bool
	// Configs must hold; Tuning is left to the broker when it does not know it.
	Configs map[string]string
	Tuning  map[string]string
}

func (t Topics) withDefaults() Topics {
	if t.Partitions == 0 {
		t.Partitions = 4
	}
	if t.SubtitlePartitions == 0 {
		t.SubtitlePartitions = 4
	}
	if t.Replication == 0 {
		t.Replication = -1
	}
	if t.RawRetention == 0 {
		t.RawRetention = 14 * 24 * time.Hour
	}
	if t.DerivedRetention == 0 {
		t.DerivedRetention = 28 * 24 * time.Hour
	}
	return t
}

// Validate reports every problem at once.
func (t Topics) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("topics: "+format, args...)) }
	if t.Partitions < 0 || t.SubtitlePartitions < 0 {
		bad("partitions must be positive")
	}
	if t.Replication < -1 {
		bad("replication factor %d is neither positive nor the broker's default", t.Replication)
	}
	if t.RawRetention < 0 || t.RawRetention >= 30*24*time.Hour {
		bad("raw retention %v is not under 30 days", t.RawRetention)
	}
	if t.DerivedRetention < 0 {
		bad("derived retention %v is negative", t.DerivedRetention)
	}
	for i, g := range t.Groups {
		if g == "" {
			bad("group %d has no name", i)
		}
		if slices.Contains(t.Groups[:i], g) {
			bad("group %q is named twice", g)
		}
	}
	return errors.Join(errs...)
}

// Table lists the topics under cfg's prefix.
func (t Topics) Table(cfg Config) []Topic {
	t = t.withDefaults()
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	// Raw records carry the broker's time of arrival, whatever the producer's clock says: it stands in for
	// ingest_time, orders inputs against each other and against the catalogue.
	raw := map[string]string{
		"cleanup.policy": "delete", "retention.ms": ms(t.RawRetention), "max.message.bytes": strconv.Itoa(maxRawBytes),
		"message.timestamp.type": "LogAppendTime",
	}
	derived := map[string]string{
		"cleanup.policy": "delete", "retention.ms": ms(t.DerivedRetention), "max.message.bytes": strconv.Itoa(maxDerivedBytes),
	}
	// The ledger is kept for ever: a block that is gone breaks the chain.
	kept := map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": strconv.Itoa(maxDerivedBytes)}
	// Tombstones stay a week, which is the longest a consumer may be away and still see a deletion (DOMAIN 10).
	compacted := func(limit int) map[string]string {
		return map[string]string{
			"cleanup.policy": "compact", "delete.retention.ms": ms(7 * 24 * time.Hour), "max.message.bytes": strconv.Itoa(limit),
		}
	}
	// Published rows keep every revision for an hour, so that a sink that follows closely sees them all.
	published := map[string]string{"min.compaction.lag.ms": ms(time.Hour), "min.cleanable.dirty.ratio": "0.5"}
	// A change-log is only read to restore: the cleaner it is, the faster.
	restored := map[string]string{"min.compaction.lag.ms": "0", "min.cleanable.dirty.ratio": "0.1"}

	catalogue := compacted(maxRawBytes)
	catalogue["message.timestamp.type"] = "LogAppendTime"

	topics := []Topic{
		{Name: cfg.Topic(event.KindPlayer), Partitions: t.Partitions, CoPartitioned: true, Configs: raw},
		{Name: cfg.Topic(event.KindLatency), Partitions: t.Partitions, CoPartitioned: true, Configs: raw},
		{Name: cfg.Topic(event.KindCheckout), Partitions: t.Partitions, CoPartitioned: true, Configs: raw},
		{Name: cfg.Topic(event.KindSubtitle), Partitions: t.SubtitlePartitions, Configs: raw},
		{Name: cfg.Topic(event.KindDrop), Partitions: 1, CoPartitioned: true, Configs: catalogue, Tuning: restored},
		{Name: cfg.Topic(event.KindFeatures), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: published},
		{Name: cfg.Topic(event.KindVelocity), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: published},
		{Name: cfg.Topic(event.KindDeadLetter), Partitions: t.Partitions, Configs: derived},
		{Name: cfg.Topic(event.KindLate), Partitions: t.Partitions, Configs: derived},
		{Name: cfg.Topic(event.KindEstimate), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: published},
		{Name: cfg.Topic(event.KindDecision), Partitions: t.Partitions, CoPartitioned: true, Configs: derived},
		{Name: cfg.Topic(event.KindProgress), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: restored},
		{Name: cfg.Topic(event.KindInventory), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: published},
		{Name: cfg.Topic(event.KindAttribution), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: published},
		{Name: cfg.Topic(event.KindLatencySketch), Partitions: t.Partitions, CoPartitioned: true, Configs: derived},
		{Name: cfg.Topic(event.KindLocalization), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: published},
		{Name: cfg.Topic(event.KindLedger), Partitions: t.Partitions, CoPartitioned: true, Configs: kept},
		{Name: cfg.Topic(event.KindPayable), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: published},
		{Name: cfg.Topic(event.KindSettlement), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: published},
		{Name: cfg.Topic(event.KindEdgeCost), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: published},
		{Name: cfg.Topic(event.KindExperimentArm), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: published},
		{Name: cfg.Topic(event.KindScore), Partitions: t.Partitions, CoPartitioned: true, Configs: raw},
		{Name: cfg.Topic(event.KindExample), Partitions: t.Partitions, CoPartitioned: true, Configs: derived},
		{Name: cfg.Topic(event.KindModel), Partitions: 1, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: restored},
		{Name: cfg.Topic(event.KindRollout), Partitions: 1, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: restored},
		{Name: cfg.Topic(event.KindLifetime), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: published},
		{Name: cfg.RedeliveryTopic(), Partitions: 1, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: restored},
	}
	for _, g := range t.Groups {
		topics = append(topics, Topic{Name: cfg.Changelog(g), Partitions: t.Partitions, CoPartitioned: true, Configs: compacted(maxDerivedBytes), Tuning: restored})
	}
	return topics
}

// EnsureTopics creates the topics that are missing and verifies the others. A
// wrong partition count is an error, because keys would meet in different
// partitions; another configuration is a warning, because an operator may mean it.
func (a *Admin) EnsureTopics(ctx context.Context, topics Topics) (warnings []string, err error) {
	if err := topics.Validate(); err != nil {
		return nil, err
	}
	table := topics.Table(a.cfg)
	names := make([]string, len(table))
	for i, t := range table {
		names[i] = t.Name
	}
	listed, err := a.adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("kafka: list topics: %w", err)
	}
	var errs []error
	var existing []Topic
	for _, t := range table {
		detail := listed[t.Name]
		switch {
		case errors.Is(detail.Err, kerr.UnknownTopicOrPartition), detail.Topic == "":
			created, w, err := a.create(ctx, t, topics.withDefaults().Replication)
			warnings = append(warnings, w...)
			if err != nil {
				errs = append(errs, err)
			} else if !created {
				existing = append(existing, t)
			}
		case detail.Err != nil:
			errs = append(errs, fmt.Errorf("kafka: topic %s: %w", t.Name, detail.Err))
		default:
			existing = append(existing, t)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, a.settle(ctx, names))
	}
	w, err := a.verify(ctx, existing)
	return append(warnings, w...), errors.Join(append(errs, err)...)
}

// settleTimeout is how long brokers may take to hear of a new topic.
const settleTimeout = 30 * time.Second

// settle waits until every broker knows the topics. One that has not heard of a new topic yet
// calls it unknown to whoever asks:
//
//	this process              another process            broker 2
//	                          creates t at broker 1
//	asks broker 1: t exists
//	consumes t                                           says that t is unknown
//	                                                     hears of t
func (a *Admin) settle(ctx context.Context, topics []string) error {
	waiting, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	pause := backoff{first: 10 * time.Millisecond, limit: 500 * time.Millisecond}
	for {
		unknown, err := a.unknown(waiting, topics)
		if err == nil && len(unknown) == 0 {
			return nil
		}
		if wait(waiting, pause.next()) != nil {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			return fmt.Errorf("kafka: brokers still do not know the topics %s: %w", strings.Join(unknown, ", "), cmp.Or(err, context.Cause(waiting)))
		}
	}
}

// unknown are those topics that some broker does not know, or without all their leaders. A broker that does not
// answer misleads nobody.
func (a *Admin) unknown(ctx context.Context, topics []string) ([]string, error) {
	brokers, err := a.adm.ListBrokers(ctx)
	if err != nil {
		return nil, err
	}
	var unknown []string
	for _, b := range brokers {
		req := kmsg.NewPtrMetadataRequest()
		for _, name := range topics {
			t := kmsg.NewMetadataRequestTopic()
			t.Topic = &name
			req.Topics = append(req.Topics, t)
		}
		answer, err := a.cl.Broker(int(b.NodeID)).Request(ctx, req)
		if err != nil {
			if ctx.Err() != nil {
				return unknown, err
			}
			continue
		}
		for _, t := range answer.(*kmsg.MetadataResponse).Topics {
			settled := t.ErrorCode != kerr.UnknownTopicOrPartition.Code && t.ErrorCode != kerr.LeaderNotAvailable.Code
			for _, p := range t.Partitions {
				settled = settled && p.Leader >= 0
			}
			if !settled && t.Topic != nil {
				unknown = append(unknown, *t.Topic)
			}
		}
	}
	slices.Sort(unknown)
	return slices.Compact(unknown), nil
}

// create makes one topic. created is false when another process was faster.
func (a *Admin) create(ctx context.Context, t Topic, replication int16) (created bool, warnings []string, err error) {
	all := maps.Clone(t.Configs)
	maps.Copy(all, t.Tuning)
	_, err = a.adm.CreateTopic(ctx, t.Partitions, replication, pointers(all), t.Name)
	if errors.Is(err, kerr.InvalidConfig) && len(t.Tuning) > 0 {
		_, err = a.adm.CreateTopic(ctx, t.Partitions, replication, pointers(t.Configs), t.Name)
		if err == nil {
			warnings = append(warnings, fmt.Sprintf("topic %s: the broker does not know some of %s; created without them",
				t.Name, strings.Join(slices.Sorted(maps.Keys(t.Tuning)), ", ")))
		}
	}
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists):
		return false, nil, nil
	case err != nil:
		return false, nil, fmt.Errorf("kafka: create topic %s: %w", t.Name, err)
	}
	return true, warnings, nil
}

func (a *Admin) verify(ctx context.Context, topics []Topic) (warnings []string, err error) {
	if len(topics) == 0 {
		return nil, nil
	}
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	// Asking for authorized operations is what makes the client ask a broker: its own metadata may
	// still say that a topic, just made by another process, is not there.
	listed, err := a.adm.ListTopics(kadm.WithAuthorizedOps(ctx), names...)
	if err != nil {
		return nil, fmt.Errorf("kafka: list topics: %w", err)
	}
	configs, err := a.adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("kafka: describe topics: %w", err)
	}
	var errs []error
	for _, t := range topics {
		detail := listed[t.Name]
		if detail.Err != nil {
			errs = append(errs, fmt.Errorf("kafka: topic %s: %w", t.Name, detail.Err))
			continue
		}
		if have := int32(len(detail.Partitions)); have != t.Partitions {
			if t.CoPartitioned {
				errs = append(errs, fmt.Errorf("kafka: topic %s has %d partitions, but %d are configured: records of one key would meet in different partitions; "+
					"configure %d, or replay into new topics under another prefix", t.Name, have, t.Partitions, have))
			} else {
				warnings = append(warnings, fmt.Sprintf("topic %s has %d partitions, configured are %d", t.Name, have, t.Partitions))
			}
		}
		have, err := configs.On(t.Name, nil)
		if err == nil {
			err = have.Err
		}
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("topic %s: its configuration cannot be read: %v", t.Name, err))
			continue
		}
		warnings = append(warnings, drift(t, have)...)
	}
	return warnings, errors.Join(errs...)
}

func drift(t Topic, have kadm.ResourceConfig) (warnings []string) {
	current := make(map[string]string, len(have.Configs))
	for _, c := range have.Configs {
		current[c.Key] = c.MaybeValue()
	}
	want := maps.Clone(t.Configs)
	for key, value := range t.Tuning {
		if _, known := current[key]; known {
			want[key] = value
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if current[key] != want[key] {
			warnings = append(warnings, fmt.Sprintf("topic %s: %s is %q, configured is %q", t.Name, key, current[key], want[key]))
		}
	}
	return warnings
}

func pointers(m map[string]string) map[string]*string {
	out := make(map[string]*string, len(m))
	for k, v := range m {
		out[k] = &v
	}
	return out
}

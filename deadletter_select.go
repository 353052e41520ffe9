package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
)

// DeadLetterSelection says which dead letters a command is about. Every flag narrows it.
type DeadLetterSelection struct {
	Topic     []string `help:"Topics that the records came from: player, latency, checkout, subtitle." placeholder:"TOPIC"`
	Class     []string `help:"Why they were refused: wrong_type, amount_precision, ..." placeholder:"CLASS"`
	Since     string   `help:"From this time of arrival on, such as 2026-04-01T18:00, or so long ago, such as 36h." placeholder:"TIME"`
	Until     string   `help:"Before this time of arrival." placeholder:"TIME"`
	Partition *int32   `help:"Partition that they came from." placeholder:"N"`
	Offset    string   `help:"Offsets that they stood at: one, or FROM-TO with both ends." placeholder:"FROM-TO"`
	Limit     int      `help:"At most so many; 0 is all."`
}

// letterFilter is a selection, parsed.
type letterFilter struct {
	kinds        []event.Kind
	classes      []event.Reason
	since, until int64 // Unix ms, 0 for none
	partition    int32 // -1 for all
	from, to     int64 // both ends inclusive
	limit        int
}

// filter parses the selection and reports every problem at once.
func (s *DeadLetterSelection) filter(now time.Time) (*letterFilter, error) {
	f := &letterFilter{partition: -1, to: 1<<63 - 1, limit: s.Limit}
	var problems []error
	bad := func(flag, format string, args ...any) {
		problems = append(problems, fmt.Errorf("--%s: %s", flag, fmt.Sprintf(format, args...)))
	}
	for _, topic := range s.Topic {
		kind := event.KindOf(topic)
		if !slices.Contains(stageInputs, kind) {
			bad("topic", "%q is none of %s", topic, kindNames(stageInputs))
		}
		f.kinds = append(f.kinds, kind)
	}
	for _, name := range s.Class {
		class, ok := event.ReasonOf(name)
		if !ok {
			var known []string
			for _, r := range event.Reasons() {
				known = append(known, r.String())
			}
			bad("class", "%q is none of %s", name, strings.Join(known, ", "))
		}
		f.classes = append(f.classes, class)
	}
	for _, limit := range []struct {
		flag, text string
		into       *int64
	}{{"since", s.Since, &f.since}, {"until", s.Until, &f.until}} {
		if limit.text == "" {
			continue
		}
		at, err := parseTime(limit.text)
		if err != nil {
			ago, errAgo := time.ParseDuration(limit.text)
			if errAgo != nil || ago < 0 {
				bad(limit.flag, "%q is neither a time such as 2026-03-01T12:00:00Z nor a duration such as 36h", limit.text)
			}
			at = now.Add(-ago)
		}
		*limit.into = at.UnixMilli()
	}
	if s.Partition != nil {
		if f.partition = *s.Partition; f.partition < 0 {
			bad("partition", "%d is negative", f.partition)
		}
	}
	if s.Offset != "" {
		from, to, both := strings.Cut(s.Offset, "-")
		if !both {
			to = from
		}
		var errFrom, errTo error
		f.from, errFrom = strconv.ParseInt(from, 10, 64)
		f.to, errTo = strconv.ParseInt(to, 10, 64)
		if errors.Join(errFrom, errTo) != nil || f.from > f.to {
			bad("offset", "%q is neither an offset nor FROM-TO", s.Offset)
		}
	}
	if s.Limit < 0 {
		bad("limit", "%d is negative", s.Limit)
	}
	return f, errors.Join(problems...)
}

func kindNames(kinds []event.Kind) string {
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = kind.Topic()
	}
	return strings.Join(names, ", ")
}

func (f *letterFilter) wants(l *event.DeadLetter) bool {
	return (f.kinds == nil || slices.Contains(f.kinds, event.KindOf(l.Topic))) &&
		(f.classes == nil || slices.Contains(f.classes, l.Class)) &&
		(f.since == 0 || l.Timestamp >= f.since) && (f.until == 0 || l.Timestamp < f.until) &&
		(f.partition < 0 || l.Partition == f.partition) &&
		l.Offset >= f.from && l.Offset <= f.to
}

// placeOf is where a dead letter's record stood.
func placeOf(l *event.DeadLetter) kafka.Place {
	return kafka.Place{Kind: event.KindOf(l.Topic), Partition: l.Partition, Offset: l.Offset}
}

// errEnough ends a reading early.
var errEnough = errors.New("enough")

// read calls each with the wanted dead letters that are in Kafka now, in order within a partition, until it returns
// errEnough. The letter is valid until each returns.
func (f *letterFilter) read(ctx context.Context, conf kafka.Config, label string, each func(*event.DeadLetter) error) error {
	admin, err := kafka.NewAdmin(conf)
	if err != nil {
		return err
	}
	defer admin.Close()
	topic := conf.Topic(event.KindDeadLetter)
	spans, err := admin.Committed(ctx, topic, 0)
	if err != nil {
		return err
	}
	var all int64
	at := map[int32]int64{}
	for p, span := range spans {
		all += span.To - span.From
		at[p] = span.From
	}
	progress := newBar(label, all)
	defer progress.finish()
	var done int64
	var decoder event.Decoder
	var letter event.DeadLetter
	err = kafka.Scan(ctx, conf, kafka.ScanConfig{Topic: topic, Spans: spans}, func(p int32, r event.Record) error {
		done += r.Offset + 1 - at[p]
		at[p] = r.Offset + 1
		progress.set(label, done)
		if refused := decoder.DeadLetter(r.Value, &letter); refused != nil {
			return fmt.Errorf("%s/%d at offset %d is no dead letter of this program: %w", topic, p, r.Offset, refused)
		}
		if !f.wants(&letter) {
			return nil
		}
		return each(&letter)
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

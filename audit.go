package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// auditConfig says what to audit. SinkGroup and ProcessGroup are required.
type auditConfig struct {
	// SinkGroup released the offsets up to which ClickHouse must hold every record.
	SinkGroup string
	// ProcessGroup dead-letters what does not decode; beyond its offsets such a record still waits for its verdict.
	ProcessGroup string
	// Kinds to audit. Default: all that are stored.
	Kinds []event.Kind
	// Partitions to audit. Default: all.
	Partitions []int32
	// Quick compares counts alone, and reads nothing from Kafka but its offsets.
	Quick bool
	// NoViews leaves the materialized views out, which takes most of the time of a small audit, and much of that of a large one.
	NoViews bool
	// Window is how many offsets are compared at a time, which bounds memory. Default 4,000,000.
	Window int64
	// Progress, if not nil, is told how many of all offsets are compared, by one goroutine at a time.
	Progress func(done, total int64)
}

// Validate fills in the defaults and reports every problem at once.
func (c *auditConfig) Validate() error {
	if c.Kinds == nil {
		c.Kinds = sinkKinds
	}
	if c.Window == 0 {
		c.Window = 4_000_000
	}
	if c.Progress == nil {
		c.Progress = func(int64, int64) {}
	}
	var problems []error
	if c.SinkGroup == "" || c.ProcessGroup == "" {
		problems = append(problems, errors.New("audit: a group has no name"))
	}
	for _, kind := range c.Kinds {
		if _, ok := clickhouse.StorageOf(kind); !ok {
			problems = append(problems, fmt.Errorf("audit: no table stores topic %q", kind.Topic()))
		}
	}
	if c.Window < 0 {
		problems = append(problems, fmt.Errorf("audit: a window of %d offsets is negative", c.Window))
	}
	return errors.Join(problems...)
}

// auditWorkers is how many tables are compared at once: one waits for Kafka or ClickHouse while another computes.
const auditWorkers = 4

// markerPatience is how long an audit waits for the markers of transactions whose offsets are committed already.
const markerPatience = 5 * time.Second

// audit compares what Kafka holds as committed, up to the sink's released offsets, with the rows in ClickHouse. It
// takes the offsets once, at the start, so the pipeline may run on. Its error means that it could not
// compare; what it found is in the report.
func audit(ctx context.Context, conf kafka.Config, client *clickhouse.Client, cfg auditConfig) (*auditReport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	admin, err := kafka.NewAdmin(conf)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	a := &auditor{cfg: cfg, kafka: conf, admin: admin, client: client}
	for _, step := range []func(context.Context) error{a.plan, a.compare, a.explain, a.lookBeyond} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
	}
	return a.report(), nil
}

// auditor is one audit under way.
type auditor struct {
	cfg    auditConfig
	kafka  kafka.Config
	admin  *kafka.Admin
	client *clickhouse.Client

	parts []*auditPart
	// judged is, per raw kind and partition, the offset that the processors have come to.
	judged map[event.Kind]map[int32]int64
	checks []clickhouse.ViewCheck
	// done of total offsets are compared.
	mu          sync.Mutex
	done, total int64
}

// auditPart is one topic-partition under audit.
type auditPart struct {
	kafka.Journal
	storage clickhouse.Storage
	extent  clickhouse.Extent // without rows when there are none
	comparison
	stray []auditRange
	// next is where the next window begins, end where the last one ends.
	next, end int64
	// unproven offsets have no row in a quick audit, which cannot tell why.
	unproven int64
}

func (a *auditor) wants(partition int32) bool {
	return a.cfg.Partitions == nil || slices.Contains(a.cfg.Partitions, partition)
}

// plan takes the offsets on both sides. The journal comes first: what is released by then is stored by now.
func (a *auditor) plan(ctx context.Context) error {
	journals, err := a.admin.Journals(ctx, a.cfg.SinkGroup, a.cfg.Kinds...)
	if err != nil {
		return err
	}
	var excused map[event.Kind]map[int32]offsetRuns
	raw := slices.DeleteFunc(slices.Clone(a.cfg.Kinds), func(k event.Kind) bool { return !slices.Contains(stageInputs, k) })
	if len(raw) > 0 && !a.cfg.Quick {
		if excused, err = a.verdicts(ctx); err != nil {
			return err
		}
	}
	extents, err := a.client.Extents(ctx, a.cfg.Quick)
	if err != nil {
		return err
	}
	type place struct {
		table     string
		partition int32
	}
	held := map[place]clickhouse.Extent{}
	for _, e := range extents {
		held[place{e.Table, e.Partition}] = e
	}
	for _, j := range journals {
		if !a.wants(j.Partition) {
			continue
		}
		storage, _ := clickhouse.StorageOf(j.Kind)
		at := place{storage.Table, j.Partition}
		part := &auditPart{Journal: j, storage: storage, extent: held[at]}
		delete(held, at)
		part.start, part.released = j.Start, j.Released
		part.excused.runs = excused[j.Kind][j.Partition]
		part.next, part.end = j.Start, max(j.Start, j.Planned)
		if part.extent.Rows > 0 {
			part.next = min(part.next, part.extent.First)
		}
		a.parts = append(a.parts, part)
	}
	for _, kind := range a.cfg.Kinds {
		storage, _ := clickhouse.StorageOf(kind)
		for at, extent := range held {
			if at.table == storage.Table && a.wants(at.partition) {
				return fmt.Errorf("table %s holds %d rows of Kafka partition %d, which topic %s does not have: is it another Kafka, "+
					"or was the topic made anew?", at.table, extent.Rows, at.partition, a.kafka.Topic(kind))
			}
		}
	}
	for _, part := range a.parts {
		a.total += part.end - part.next
	}
	return nil
}

// verdicts reads how far the processors have come, and then which records they dead-lettered that the sink leaves out.
func (a *auditor) verdicts(ctx context.Context) (map[event.Kind]map[int32]offsetRuns, error) {
	lags, err := a.admin.Lag(ctx, a.cfg.ProcessGroup)
	if err != nil {
		return nil, err
	}
	a.judged = map[event.Kind]map[int32]int64{}
	for _, lag := range lags {
		kind := a.kafka.Kind(lag.Topic)
		if a.judged[kind] == nil {
			a.judged[kind] = map[int32]int64{}
		}
		a.judged[kind][lag.Partition] = lag.Committed
	}
	topic := a.kafka.Topic(event.KindDeadLetter)
	spans, err := a.admin.Committed(ctx, topic, markerPatience)
	if err != nil {
		return nil, err
	}
	found := map[event.Kind]map[int32][]int64{}
	var decoder event.Decoder
	var letter event.DeadLetter
	err = kafka.Scan(ctx, a.kafka, kafka.ScanConfig{Topic: topic, Spans: spans}, func(_ int32, r event.Record) error {
		if err := decoder.DeadLetter(r.Value, &letter); err != nil {
			return nil // it has no row either, and is found missing in its own table
		}
		if kind := event.KindOf(letter.Topic); clickhouse.LeavesOut(letter.Class) && a.wants(letter.Partition) {
			if found[kind] == nil {
				found[kind] = map[int32][]int64{}
			}
			found[kind][letter.Partition] = append(found[kind][letter.Partition], letter.Offset)
		}
		return nil
	})
	excused := map[event.Kind]map[int32]offsetRuns{}
	for kind, partitions := range found {
		excused[kind] = map[int32]offsetRuns{}
		for p, offsets := range partitions {
			excused[kind][p] = newOffsetRuns(offsets)
		}
	}
	return excused, err
}

// compare goes through all topic-partitions that hold anything, at most a window of offsets at a time.
func (a *auditor) compare(ctx context.Context) error {
	if a.cfg.Quick {
		for _, part := range a.parts {
			part.count()
		}
		return nil
	}
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(auditWorkers)
	byKind := map[event.Kind][]*auditPart{}
	for _, part := range a.parts {
		byKind[part.Kind] = append(byKind[part.Kind], part)
	}
	if !a.cfg.NoViews {
		group.Go(func() error { return a.views(inner) })
	}
	for _, parts := range byKind {
		if !slices.ContainsFunc(parts, func(p *auditPart) bool { return p.next < p.end || p.extent.Rows > 0 }) {
			continue
		}
		group.Go(func() error {
			if parts[0].storage.Replaces {
				return a.compareNewest(inner, parts)
			}
			return a.compareTable(inner, parts)
		})
	}
	return group.Wait()
}

// count is all that a quick audit does.
func (p *auditPart) count() {
	e := p.extent
	p.rows = e.Rows
	if p.storage.Replaces {
		return
	}
	if e.Rows > e.Distinct {
		p.doubled = []auditRange{{e.First, e.Last, e.Rows - e.Distinct}}
	}
	from := p.Start
	if e.Rows > 0 {
		from = min(from, e.First)
	}
	p.unproven = max(0, p.Released-from-e.Distinct)
}

// compareTable compares one table by offset, in windows that it spreads over its partitions.
func (a *auditor) compareTable(ctx context.Context, parts []*auditPart) error {
	share := max(1, a.cfg.Window/int64(len(parts))/auditWorkers)
	for {
		windows := map[int32]*auditWindow{}
		for _, p := range parts {
			if p.next < p.end {
				windows[p.Partition] = &auditWindow{OffsetRange: clickhouse.OffsetRange{First: p.next, Last: min(p.end, p.next+share) - 1}}
			}
		}
		if len(windows) == 0 {
			return nil
		}
		group, inner := errgroup.WithContext(ctx)
		group.Go(func() error { return a.scan(inner, parts, windows) })
		group.Go(func() error {
			within := map[int32]clickhouse.OffsetRange{}
			for p, w := range windows {
				within[p] = w.OffsetRange
			}
			return a.client.Runs(inner, parts[0].storage.Table, within, func(p int32, r clickhouse.Run) error {
				windows[p].held = append(windows[p].held, r)
				return nil
			})
		})
		if err := group.Wait(); err != nil {
			return err
		}
		for _, p := range parts {
			if w := windows[p.Partition]; w != nil {
				p.take(w)
				p.next = w.Last + 1
				a.progress(w.Offsets())
			}
		}
	}
}

func (a *auditor) progress(offsets int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done += offsets
	a.cfg.Progress(a.done, a.total)
}

// scan fills in Kafka's side of the windows.
func (a *auditor) scan(ctx context.Context, parts []*auditPart, windows map[int32]*auditWindow) error {
	kind := parts[0].Kind
	spans := map[int32]kafka.Span{}
	for _, p := range parts {
		if w := windows[p.Partition]; w != nil {
			spans[p.Partition] = kafka.Span{From: max(w.First, p.Start), To: min(w.Last+1, p.Released, p.End)}
		}
	}
	judged := map[int32]int64{}
	raw := slices.Contains(stageInputs, kind)
	if raw {
		judged = a.judged[kind]
	}
	keeps := parts[0].storage.Keeps
	oldest := time.Now().Add(-keeps).UnixMilli()
	var decoder event.Decoder
	var ev event.Event
	return kafka.Scan(ctx, a.kafka, kafka.ScanConfig{Topic: parts[0].Topic, Spans: spans}, func(p int32, r event.Record) error {
		w := windows[p]
		switch {
		case keeps > 0 && r.Timestamp < oldest:
			w.expired.add(r.Offset)
		case raw && r.Offset >= judged[p] && decoder.Decode(kind, r.Value, &ev) != nil:
			w.pending.add(r.Offset)
		default:
			w.due.add(r.Offset)
		}
		return nil
	})
}

// compareNewest compares a table whose rows replace each other: of every key, the row that is shown must be the newest
// that Kafka holds below the released offset, or a newer one.
func (a *auditor) compareNewest(ctx context.Context, parts []*auditPart) error {
	type newest struct {
		version    uint64
		offset     int64
		part       *auditPart
		seen, aged bool
	}
	kind, storage := parts[0].Kind, parts[0].storage
	byNumber := map[int32]*auditPart{}
	spans := map[int32]kafka.Span{}
	for _, p := range parts {
		byNumber[p.Partition] = p
		spans[p.Partition] = kafka.Span{From: p.Start, To: min(p.Released, p.End)}
	}
	oldest := time.Now().Add(-storage.Keeps).UnixMilli()
	due := map[string]*newest{}
	var decoder event.Decoder
	err := kafka.Scan(ctx, a.kafka, kafka.ScanConfig{Topic: parts[0].Topic, Spans: spans}, func(number int32, r event.Record) error {
		part := byNumber[number]
		key, version, refused := clickhouse.NewestKey(&decoder, &r)
		switch {
		case refused != nil && kind == event.KindDrop:
			part.leftOut++ // a catalogue entry that does not decode has no dead letter: it stays in the topic
			return nil
		case refused != nil:
			if named, _ := part.excused.at(r.Offset, r.Offset+1); named {
				part.leftOut++
			} else {
				part.missing = append(part.missing, auditRange{r.Offset, r.Offset, 1})
			}
			return nil
		}
		n := due[key]
		if n == nil {
			n = &newest{}
			due[key] = n
			part.records++
		}
		if version >= n.version {
			n.version, n.offset, n.part = version, r.Offset, part
			n.aged = storage.Keeps > 0 && r.Timestamp < oldest
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = a.client.NewestRows(ctx, kind, func(row clickhouse.Newest) error {
		part := byNumber[row.Partition]
		if part == nil {
			return nil // not asked about
		}
		part.rows++
		n := due[row.Key]
		switch {
		case n != nil:
			n.seen = row.Version >= n.version
			if row.Offset >= part.Released {
				part.inFlight++
			}
		case row.Offset < part.Start:
			part.gone++
		case row.Offset >= part.Released:
			part.inFlight++
		default:
			part.stray = append(part.stray, auditRange{row.Offset, row.Offset, 1})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range due {
		switch {
		case n.seen:
		case n.aged:
			n.part.expired++
		default:
			n.part.missing = append(n.part.missing, auditRange{n.offset, n.offset, 1})
		}
	}
	for _, p := range parts {
		for _, ranges := range [][]auditRange{p.missing, p.stray} {
			slices.SortFunc(ranges, func(a, b auditRange) int { return int(a.First - b.First) })
		}
		a.progress(p.end - p.next)
	}
	return nil
}

// explain decides about rows at offsets at which Kafka shows no record. In a compacted topic the record may have given way
// to a newer one of its key; but one that an aborted transaction left is in the log, if one looks for it.
func (a *auditor) explain(ctx context.Context) error {
	for _, p := range a.parts {
		if len(p.unknown) == 0 {
			continue
		}
		compacts, err := a.admin.Compacts(ctx, p.Topic)
		if err != nil {
			return err
		}
		stray := offsetRuns{}
		if compacts {
			first, last := p.unknown[0].First, p.unknown[len(p.unknown)-1].Last
			spans := map[int32]kafka.Span{p.Partition: {From: first, To: min(last+1, p.End)}}
			err := kafka.Scan(ctx, a.kafka, kafka.ScanConfig{Topic: p.Topic, Spans: spans, Uncommitted: true}, func(_ int32, r event.Record) error {
				stray.add(r.Offset)
				return nil
			})
			if err != nil {
				return err
			}
		}
		cursor := runCursor{runs: stray}
		for _, run := range p.unknown {
			for at := run.First; at <= run.Last; {
				is, end := cursor.at(at, run.Last)
				if at < p.End {
					end = min(end, p.End-1)
				}
				if is || !compacts || at >= p.End {
					p.addStray(at, end)
				} else {
					p.gone += run.Copies * (end - at + 1)
				}
				at = end + 1
			}
		}
	}
	return nil
}

func (p *auditPart) addStray(first, last int64) {
	if n := len(p.stray); n > 0 && p.stray[n-1].Last == first-1 {
		p.stray[n-1].Last = last
		p.stray[n-1].Records += last - first + 1
		return
	}
	p.stray = append(p.stray, auditRange{first, last, last - first + 1})
}

// lookBeyond finds rows beyond what the sink had planned when they were seen: the plan is written before the
// rows, so a plan that is read after them covers them, or nobody wrote them who may.
func (a *auditor) lookBeyond(ctx context.Context) error {
	ahead := slices.ContainsFunc(a.parts, func(p *auditPart) bool { return p.extent.Rows > 0 && p.extent.Last >= p.Planned })
	if !ahead {
		return nil
	}
	journals, err := a.admin.Journals(ctx, a.cfg.SinkGroup, a.cfg.Kinds...)
	if err != nil {
		return err
	}
	for _, j := range journals {
		i := slices.IndexFunc(a.parts, func(p *auditPart) bool { return p.Kind == j.Kind && p.Partition == j.Partition })
		if i < 0 {
			continue
		}
		p := a.parts[i]
		if p.extent.Rows == 0 || p.extent.Last < j.Planned {
			continue
		}
		within := map[int32]clickhouse.OffsetRange{p.Partition: {First: j.Planned, Last: p.extent.Last}}
		err := a.client.Runs(ctx, p.storage.Table, within, func(_ int32, r clickhouse.Run) error {
			p.addStray(r.First, r.Last)
			p.rows += r.Copies * r.Offsets()
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// views recomputes what the materialized views made of the released records.
func (a *auditor) views(ctx context.Context) (err error) {
	released := map[event.Kind]map[int32]int64{}
	for _, p := range a.parts {
		if p.Released == 0 {
			continue // nothing that views could have been made of
		}
		if released[p.Kind] == nil {
			released[p.Kind] = map[int32]int64{}
		}
		released[p.Kind][p.Partition] = p.Released
	}
	a.checks, err = a.client.CheckViews(ctx, released)
	return err
}

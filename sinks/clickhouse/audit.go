package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/sql"
)

// OffsetRange is a range of offsets, both ends inclusive.
type OffsetRange struct{ First, Last int64 }

// Offsets is how many offsets the range has.
func (r OffsetRange) Offsets() int64 { return r.Last - r.First + 1 }

// Storage says how a kind's records are stored, for whoever holds them against Kafka.
type Storage struct {
	Table string
	// Replaces says that a row may give way to a newer one of its key: the newest can be compared, offsets cannot.
	Replaces bool
	// Keeps is how long a row stays after it came in; 0 for ever.
	Keeps time.Duration
}

// StorageOf is how records of kind are stored; ok is false for a kind that is not.
func StorageOf(kind event.Kind) (s Storage, ok bool) {
	t := newTable(kind)
	if t == nil {
		return Storage{}, false
	}
	s = Storage{Table: t.name, Replaces: t.replaces, Keeps: 90 * 24 * time.Hour}
	switch kind {
	case event.KindCheckout, event.KindDrop, event.KindLedger, event.KindSettlement, event.KindEdgeCost, event.KindModel, event.KindRollout, event.KindLifetime:
		s.Keeps = 0
	case event.KindAttribution, event.KindExample:
		s.Keeps = 400 * 24 * time.Hour
	}
	return s, true
}

// LeavesOut says whether the sink stores no row of a raw record that was dead-lettered as class. The others
// decode, and are stored although no processor counted them.
func LeavesOut(class event.Reason) bool {
	return class != event.ReasonUnknownDrop && class != event.ReasonClock
}

// Extent says how far the rows of one topic-partition reach.
type Extent struct {
	Table     string
	Partition int32
	Rows      int64
	OffsetRange
	// Distinct offsets; fewer than Rows means doubled rows. 0 unless counted.
	Distinct int64
}

// Extents lists the extent of every topic-partition that has rows. Counting distinct offsets costs a look at every row.
func (c *Client) Extents(ctx context.Context, distinct bool) ([]Extent, error) {
	name := "audit_extents"
	if distinct {
		name = "audit_offsets"
	}
	var extents []Extent
	err := c.each(ctx, name, nil, func(rows driver.Rows) error {
		var e Extent
		var partition uint32
		var n, first, last, offsets uint64
		into := []any{&e.Table, &partition, &n, &first, &last}
		if distinct {
			into = append(into, &offsets)
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		e.Partition, e.Rows, e.OffsetRange, e.Distinct = int32(partition), int64(n), OffsetRange{int64(first), int64(last)}, int64(offsets)
		extents = append(extents, e)
		return nil
	})
	return extents, err
}

// Run is a range of offsets each of which the same number of rows carries.
type Run struct {
	OffsetRange
	Copies int64
}

// Runs calls each with the runs of table within the ranges, in order of partition and offset.
func (c *Client) Runs(ctx context.Context, table string, within map[int32]OffsetRange, each func(partition int32, r Run) error) error {
	if len(within) == 0 {
		return nil
	}
	firsts, lasts := make(map[int32]int64, len(within)), make(map[int32]int64, len(within))
	lowest, highest, begun := int64(0), int64(0), false
	for p, r := range within {
		firsts[p], lasts[p] = r.First, r.Last
		if !begun || r.First < lowest {
			lowest = r.First
		}
		highest, begun = max(highest, r.Last), true
	}
	params := Params{"table": table, "first": offsetMap(firsts), "last": offsetMap(lasts), "lowest": lowest, "highest": highest}
	return c.each(ctx, "audit_runs", params, func(rows driver.Rows) error {
		var partition uint32
		var first, last, copies uint64
		if err := rows.Scan(&partition, &first, &last, &copies); err != nil {
			return err
		}
		return each(int32(partition), Run{OffsetRange{int64(first), int64(last)}, int64(copies)})
	})
}

// ViewCheck is a materialized view's target against a recomputation from one of its base tables.
type ViewCheck struct {
	View   string
	Source event.Kind
	// Due rows or values follow from the base table. Missing ones the target lacks, Stray ones it has alone, Differing
	// ones it has otherwise. Stray is -1 where it cannot be told.
	Due, Missing, Stray, Differing int64
}

// viewSources are the base tables of the views whose target holds minima or plain facts, which are checked from one side.
var viewSources = []struct {
	view    string
	sources []event.Kind
}{
	{"member_activity", []event.Kind{event.KindPlayer, event.KindCheckout}},
	{"player_drops", []event.Kind{event.KindPlayer, event.KindCheckout, event.KindLatency}},
	{"player_sessions", []event.Kind{event.KindPlayer}},
	{"first_exposures", []event.Kind{event.KindPlayer}},
	{"drop_versions", []event.Kind{event.KindDrop}},
	{"money_facts", []event.Kind{event.KindCheckout}},
	{"money_posted", []event.Kind{event.KindLedger}},
	{"canary_requests", []event.Kind{event.KindLatency}},
	{"money_exceptions", []event.Kind{event.KindLedger}},
	{"feature_progress", []event.Kind{event.KindFeatures}},
	{"score_samples", []event.Kind{event.KindScore}},
	{"rejected", []event.Kind{event.KindDeadLetter, event.KindLate}},
}

// CheckViews recomputes what the materialized views over the sources make of the records below released, per kind and
// Kafka partition. Kinds and partitions without an entry are left out.
func (c *Client) CheckViews(ctx context.Context, released map[event.Kind]map[int32]int64) ([]ViewCheck, error) {
	group, inner := errgroup.WithContext(ctx)
	checks := make([][]ViewCheck, 1+len(viewSources))
	if below := released[event.KindCheckout]; len(below) > 0 {
		group.Go(func() (err error) {
			checks[0], err = c.checkPurchases(inner, below)
			return err
		})
	}
	for i, v := range viewSources {
		if slices.ContainsFunc(v.sources, func(kind event.Kind) bool { return len(released[kind]) > 0 }) {
			group.Go(func() (err error) {
				checks[1+i], err = c.checkMinima(inner, v.view, v.sources, released)
				return err
			})
		}
	}
	err := group.Wait()
	return slices.Concat(checks...), err
}

func (c *Client) checkPurchases(ctx context.Context, released map[int32]int64) ([]ViewCheck, error) {
	total := ViewCheck{View: "purchases", Source: event.KindCheckout}
	err := c.each(ctx, "audit_view_purchases", Params{"released": offsetMap(released)}, func(rows driver.Rows) error {
		var partition uint32
		var due, missing, stray, differing uint64
		if err := rows.Scan(&partition, &due, &missing, &stray, &differing); err != nil {
			return err
		}
		total.Due += int64(due)
		total.Missing += int64(missing)
		total.Stray += int64(stray)
		total.Differing += int64(differing)
		return nil
	})
	return []ViewCheck{total}, err
}

func (c *Client) checkMinima(ctx context.Context, view string, kinds []event.Kind, released map[event.Kind]map[int32]int64) (checks []ViewCheck, err error) {
	params, sources := Params{}, map[string]event.Kind{}
	for _, kind := range kinds {
		params[strings.ReplaceAll(kind.Topic(), "-", "_")] = offsetMap(released[kind])
		storage, _ := StorageOf(kind)
		sources[storage.Table] = kind
	}
	err = c.each(ctx, "audit_view_"+view, params, func(rows driver.Rows) error {
		var source string
		var due, missing, differing uint64
		if err := rows.Scan(&source, &due, &missing, &differing); err != nil {
			return err
		}
		checks = append(checks, ViewCheck{View: view, Source: sources[source],
			Due: int64(due), Missing: int64(missing), Stray: -1, Differing: int64(differing)})
		return nil
	})
	return checks, err
}

// each streams the named query's rows.
func (c *Client) each(ctx context.Context, name string, params Params, row func(driver.Rows) error) (err error) {
	q, err := sql.Lookup(name)
	if err != nil {
		return err
	}
	given, err := resolve(q, params)
	if err != nil {
		return err
	}
	rows, err := c.conn.Query(withParams(ctx, given), q.SQL)
	if err != nil {
		return fmt.Errorf("query %s: %w", name, explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return fmt.Errorf("query %s: %w", name, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("query %s: %w", name, explain(err))
	}
	return nil
}

// offsetMap is a Map(UInt32, UInt64) parameter by partition.
type offsetMap map[int32]int64

func (m offsetMap) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for p, offset := range m {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d:%d", p, offset)
	}
	b.WriteByte('}')
	return b.String()
}

package clickhouse

import (
	"context"
	"fmt"
)

// Held says what a table holds of one Kafka partition.
type Held struct {
	Table     string
	Partition uint32
	// Rows in the table; more than Distinct means rows written twice.
	Rows uint64
	// First and Last offset, and how many distinct ones.
	First, Last, Distinct uint64
	// Gaps are the offset ranges between First and Last without a row, at most 1,000 per
	// table: undecodable records, transaction markers, or loss. Kafka tells which.
	Gaps []OffsetRange
}

// OffsetRange is a range of offsets, both ends inclusive.
type OffsetRange struct{ First, Last uint64 }

// Audit lists what is stored of every topic-partition, gaps included.
func (c *Client) Audit(ctx context.Context) ([]Held, error) {
	rows, err := c.Query(ctx, "audit_offsets", nil)
	if err != nil {
		return nil, err
	}
	held := make([]Held, 0, len(rows.Rows))
	gaps := map[string]map[uint32][]OffsetRange{}
	for _, row := range rows.Rows {
		h := Held{}
		if err := assign(row, &h.Table, &h.Partition, &h.Rows, &h.First, &h.Last, &h.Distinct); err != nil {
			return nil, fmt.Errorf("query audit_offsets: %w", err)
		}
		if h.Distinct != h.Last-h.First+1 && gaps[h.Table] == nil {
			if gaps[h.Table], err = c.gaps(ctx, h.Table); err != nil {
				return nil, err
			}
		}
		h.Gaps = gaps[h.Table][h.Partition]
		held = append(held, h)
	}
	return held, nil
}

func (c *Client) gaps(ctx context.Context, table string) (map[uint32][]OffsetRange, error) {
	rows, err := c.Query(ctx, "audit_gaps", Params{"table": table})
	if err != nil {
		return nil, err
	}
	gaps := map[uint32][]OffsetRange{}
	for _, row := range rows.Rows {
		var partition uint32
		var r OffsetRange
		var n uint64
		if err := assign(row, &partition, &r.First, &r.Last, &n); err != nil {
			return nil, fmt.Errorf("query audit_gaps: %w", err)
		}
		gaps[partition] = append(gaps[partition], r)
	}
	return gaps, nil
}

// assign puts a row's values into targets of their types.
func assign(row []any, targets ...any) error {
	if len(row) != len(targets) {
		return fmt.Errorf("%d columns, expected %d", len(row), len(targets))
	}
	for i, target := range targets {
		ok := false
		switch t := target.(type) {
		case *string:
			*t, ok = row[i].(string)
		case *uint32:
			*t, ok = row[i].(uint32)
		case *uint64:
			*t, ok = row[i].(uint64)
		}
		if !ok {
			return fmt.Errorf("column %d is %T, expected %T", i+1, row[i], target)
		}
	}
	return nil
}

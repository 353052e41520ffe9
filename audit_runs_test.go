package main

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/droplift/droplift/sinks/clickhouse"
)

// TestComparison holds random logs and tables against a count of each single offset, with the window cut anywhere.
func TestComparison(t *testing.T) {
	seed := pipelineSeed(t)
	for round := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, round))
		n := 1 + rng.Int64N(60)
		start := rng.Int64N(n)
		released := start + rng.Int64N(n-start+1)
		type offset struct {
			class  int // of the record: 0 none, 1 due, 2 expired, 3 pending
			copies int64
			letter bool
		}
		offsets := make([]offset, n)
		var letters []int64
		for i := range offsets {
			o := &offsets[i]
			if int64(i) >= start && int64(i) < released && rng.IntN(5) > 0 {
				o.class = 1 + max(0, rng.IntN(8)-5)
			}
			o.copies = int64(max(0, rng.IntN(8)-5))
			if o.class == 1 && rng.IntN(3) > 0 {
				o.copies = 1
			}
			if o.letter = rng.IntN(4) == 0; o.letter {
				letters = append(letters, int64(i))
			}
		}

		want := comparison{start: start, released: released}
		var missing, doubled, unknown []int64
		for i, o := range offsets {
			at := int64(i)
			want.rows += o.copies
			if o.class > 0 {
				want.records++
			}
			if o.copies > 1 {
				doubled = append(doubled, at)
			}
			switch {
			case at < start:
				want.gone += o.copies
			case at >= released:
				want.inFlight += o.copies
			case o.copies > 0 && o.class == 0:
				unknown = append(unknown, at)
			case o.copies > 0:
			case o.class == 1 && o.letter:
				want.leftOut++
			case o.class == 1:
				missing = append(missing, at)
			case o.class == 2:
				want.expired++
			case o.class == 3:
				want.pending++
			}
		}

		got := comparison{start: start, released: released, excused: runCursor{newOffsetRuns(letters)}}
		for from := int64(0); from < n; {
			w := &auditWindow{OffsetRange: clickhouse.OffsetRange{First: from, Last: min(n, from+1+rng.Int64N(20)) - 1}}
			for at := w.First; at <= w.Last; at++ {
				o := offsets[at]
				switch o.class {
				case 1:
					w.due.add(at)
				case 2:
					w.expired.add(at)
				case 3:
					w.pending.add(at)
				}
				if k := len(w.held); k > 0 && w.held[k-1].Last == at-1 && w.held[k-1].Copies == o.copies {
					w.held[k-1].Last = at
				} else if o.copies > 0 {
					w.held = append(w.held, clickhouse.Run{OffsetRange: clickhouse.OffsetRange{First: at, Last: at}, Copies: o.copies})
				}
			}
			got.take(w)
			from = w.Last + 1
		}

		// A range may span offsets without a record, but neither end of it.
		covers := func(what string, ranges []auditRange, want []int64) {
			t.Helper()
			var records int64
			for i, r := range ranges {
				records += r.Records
				if !slices.Contains(want, r.First) || !slices.Contains(want, r.Last) || i > 0 && ranges[i-1].Last >= r.First {
					t.Fatalf("round %d: %s ranges %v of offsets %v", round, what, ranges, want)
				}
				for at := r.First; at <= r.Last; at++ {
					if o := offsets[at]; o.copies == 1 && o.class > 0 {
						t.Fatalf("round %d: %s range %v spans the healthy offset %d", round, what, r, at)
					}
				}
			}
			if records != int64(len(want)) {
				t.Fatalf("round %d: %s ranges %v of offsets %v", round, what, ranges, want)
			}
		}
		covers("missing", got.missing, missing)
		covers("doubled", got.doubled, doubled)
		var strays []int64
		for _, run := range got.unknown {
			for at := run.First; at <= run.Last; at++ {
				strays = append(strays, at)
			}
		}
		if !slices.Equal(strays, unknown) {
			t.Fatalf("round %d: rows without a record at %v, want %v", round, strays, unknown)
		}
		got.excused, got.missing, got.doubled, got.unknown, got.last = runCursor{}, nil, nil, nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d:\ngot  %+v\nwant %+v\nof   %s", round, got, want, fmt.Sprint(offsets))
		}
	}
}

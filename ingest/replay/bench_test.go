package replay

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// BenchmarkReader turns CSV rows into encoded, validated checkouts; one operation is one row.
func BenchmarkReader(b *testing.B) {
	const rows = 10_000
	var text strings.Builder
	text.WriteString("at,who,basket,total,n\n")
	for i := range rows {
		fmt.Fprintf(&text, "2017-01-28 19:06:%02d,household-%d,%d,%d.%02d,%d\n", i%60, i%977, i, i%90, i%100, 1+i%5)
	}
	path := write(b, "f.csv", []byte(text.String()))
	m := parsed(b, `name: bench
kind: checkout
format: {type: csv}
fields:
  type: {const: completed}
  event_time: {from: at, as: time, layout: "2006-01-02 15:04:05"}
  player_id: {from: who}
  checkout_id: {template: "b-{basket}-{@record}"}
  amount: {from: total, as: decimal-to-minor}
  currency: {const: USD}
  quantity: {from: n}
`)
	b.SetBytes(int64(text.Len() / rows))
	b.ReportAllocs()
	var item Item
	for done := 0; done < b.N; {
		r, err := Open(Config{Mapping: m, Path: path})
		if err != nil {
			b.Fatal(err)
		}
		for done < b.N {
			if err = r.Next(&item); err != nil {
				break
			}
			done++
		}
		if err != nil && err != io.EOF {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

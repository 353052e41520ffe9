package viewer

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// velocityTable is a series as panels have them: a time, four numbers that may be absent and a label.
func velocityTable(rows int) *Table {
	t := &Table{
		Columns: []string{"time", "1 min", "5 min", "15 min", "provisional", "pop"},
		Types:   []string{"DateTime64(3, 'UTC')", "Float64", "Float64", "Float64", "Nullable(UInt8)", "LowCardinality(String)"},
	}
	one := uint8(1)
	for i := range rows {
		provisional := &one
		if i%2 == 0 {
			provisional = nil
		}
		t.Rows = append(t.Rows, []any{time.UnixMilli(dropMS + int64(i)*1000).UTC(), float64(i) / 3, float64(i) / 7, float64(i), provisional, "fra"})
	}
	return t
}

func BenchmarkEncode(b *testing.B) {
	table := velocityTable(1000)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = appendColumns(out[:0], table)
	}
	b.SetBytes(int64(len(out)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/6000, "ns/value")
}

// BenchmarkCachedPanel is what a refresh of the second to n-th viewer costs: 1,000 rows from the cache, through the handler, gzipped.
func BenchmarkCachedPanel(b *testing.B) {
	f := newFixture(b)
	f.source.answer = func(context.Context, string, map[string]any) (*Table, error) { return velocityTable(1000), nil }
	path := velocityPanel(b) + "?var-drop=d&from=start&to=data"
	for _, encoding := range []string{"identity", "gzip"} {
		b.Run(encoding, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Host = "127.0.0.1"
				r.Header.Set("Accept-Encoding", encoding)
				w := httptest.NewRecorder()
				f.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
				b.SetBytes(int64(w.Body.Len()))
			}
		})
	}
	if n := len(f.source.of("dashboard_velocity")); n != 1 {
		b.Fatalf("%d queries", n)
	}
}

package experiment

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// snapshot is one row of the ASOS Digital Experiments: running means and variances of both arms.
type snapshot struct {
	since            float64
	control, treated Sample
}

func asos(t *testing.T) map[string][]snapshot {
	file, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", "asos", "asos_digital_experiments_dataset.csv.gz"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(unpacked).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string][]snapshot{}
	for _, row := range rows[1:] {
		var v [7]float64
		for i := range v {
			// An empty field is a NaN, which makes the row unusable below.
			if v[i], err = strconv.ParseFloat(row[3+i], 64); err != nil && row[3+i] != "" {
				t.Fatal(err)
			}
		}
		s := snapshot{v[0], Sample{v[1], v[3], v[5]}, Sample{v[2], v[4], v[6]}}
		if slices.Contains(row[3:], "") || !(s.control.Variance+s.treated.Variance > 0) {
			continue
		}
		id := strings.Join(row[:3], "/")
		series[id] = append(series[id], s)
	}
	for _, s := range series {
		slices.SortFunc(s, func(a, b snapshot) int { return int(a.since*1000) - int(b.since*1000) })
	}
	return series
}

// TestASOS holds the always-valid test against naive peeking on real experiments. The metrics have unknown units, so tau
// is the catalogue's default of .01 in standard deviations of the control at a series' first snapshot, where it is fixed.
func TestASOS(t *testing.T) {
	const alpha, effect = .05, .01
	series := asos(t)
	var last, peeking, valid, kept int
	for _, s := range series {
		var sequence Sequence
		tau := effect * math.Sqrt(s[0].control.Variance)
		peeked, significant := false, false
		for _, x := range s {
			delta, v := Difference(x.control, x.treated)
			significant = Normal(delta, v) < alpha
			peeked = peeked || significant
			sequence.Look(delta, v, tau)
		}
		if significant {
			last++
		}
		if peeked {
			peeking++
		}
		if sequence.P() <= alpha {
			valid++
			if significant {
				kept++
			}
		}
	}
	t.Logf("of %d series p < .05 naively at the last snapshot in %d, at any in %d; the always-valid test flags %d at any snapshot, and keeps %d of the %d",
		len(series), last, peeking, valid, kept, last)
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"usable series", len(series), 381}, {"naive at the last snapshot", last, 105}, {"naive at any snapshot", peeking, 225},
		{"always-valid at any snapshot", valid, 95}, {"kept of the last snapshot's", kept, 67},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
		}
	}
}

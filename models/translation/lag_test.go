package translation

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestLagging holds the examples of DOMAIN 7.2.
func TestLagging(t *testing.T) {
	for _, tt := range []struct {
		name    string
		segment Segment
		want    Lag
	}{
		{"six tokens", Segment{[]float64{1500, 2500, 3500, 4500, 6000, 6000}, 6000, 5}, Lag{AL: 1200, LAAL: 1600}},
		{"seven tokens", Segment{[]float64{1500, 2500, 3500, 4500, 5500, 6000, 6000}, 6000, 5}, Lag{AL: 916.67, LAAL: 1773.81}},
		{"first token after the source", Segment{[]float64{7000, 7100}, 6000, 2}, Lag{AL: 7000, LAAL: 7000}},
		{"first token with its end", Segment{[]float64{6000, 7100}, 6000, 2}, Lag{AL: 6000, LAAL: 6000}},
		{"never reaches the end", Segment{[]float64{1000, 2000}, 6000, 2}, Lag{AL: 0, LAAL: 0}},
		{"no reference", Segment{[]float64{1500, 2500, 3500, 4500, 6000, 6000}, 6000, 0}, Lag{AL: 1600, LAAL: 1600, NoReference: true}},
	} {
		got, err := tt.segment.Lagging()
		if err != nil || math.Abs(got.AL-tt.want.AL) > 0.005 || math.Abs(got.LAAL-tt.want.LAAL) > 0.005 || got.NoReference != tt.want.NoReference {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
	if _, err := (Segment{SourceMS: 1}).Lagging(); !errors.Is(err, ErrNoTokens) {
		t.Errorf("no tokens: %v", err)
	}
	for _, length := range []float64{0, -1, math.NaN()} {
		if _, err := (Segment{Delays: []float64{1}, SourceMS: length}).Lagging(); !errors.Is(err, ErrNoSource) {
			t.Errorf("source of %v ms: %v", length, err)
		}
	}
}

// TestPublishedScores computes the published scores of 2,580 live segments again.
func TestPublishedScores(t *testing.T) {
	folder := filepath.Join("..", "..", "..", "shared", "data", "speech-translation")
	scores, err := os.ReadFile(filepath.Join(folder, "scores.tsv"))
	if err != nil {
		t.Skip(err)
	}
	want := map[string]float64{}
	for line := range strings.Lines(string(scores)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			want[name] = v
		}
	}
	file, err := os.Open(filepath.Join(folder, "delays.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	segments := 0
	for lines := bufio.NewScanner(unpacked); lines.Scan(); segments++ {
		var row struct {
			Delays    []float64 `json:"delays"`
			Elapsed   []float64 `json:"elapsed"`
			Tokens    int       `json:"prediction_length"`
			Reference int       `json:"reference_length"`
			Source    float64   `json:"source_length"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		if row.Tokens != len(row.Delays) {
			t.Fatalf("segment %d: %d tokens, %d delays", segments, row.Tokens, len(row.Delays))
		}
		for clock, delays := range map[string][]float64{"CU": row.Delays, "CA": row.Elapsed} {
			lag, err := Segment{Delays: delays, SourceMS: row.Source, Reference: row.Reference}.Lagging()
			if err != nil {
				t.Fatal(err)
			}
			sums["n "+clock]++
			sums["AL ("+clock+")"] += lag.AL
			sums["LAAL ("+clock+")"] += lag.LAAL
		}
	}
	if segments != 2580 {
		t.Errorf("%d segments", segments)
	}
	for _, clock := range []string{"CU", "CA"} {
		for _, metric := range []string{"AL", "LAAL"} {
			name := metric + " (" + clock + ")"
			mean := sums[name] / sums["n "+clock]
			t.Logf("%s %.4f over %.0f segments", name, mean, sums["n "+clock])
			if want[name] == 0 || math.Abs(mean-want[name]) > 5e-5 {
				t.Errorf("%s is %.4f, published %.4f", name, mean, want[name])
			}
		}
	}
}

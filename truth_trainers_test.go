package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/models/trees"
	"github.com/droplift/droplift/sinks/features/offline"
)

// TestTrainersOnExportedParquet trains LightGBM and XGBoost, as they come from PyPI, on a training set that we write as
// Parquet, and scores their rows in Go: from the file's numbers as the trainer read them, and from the records behind.
func TestTrainersOnExportedParquet(t *testing.T) {
	python := os.Getenv("DROPLIFT_PYTHON")
	if python == "" {
		embeddedtest.Missing(t, "trainers", "DROPLIFT_PYTHON names no Python with LightGBM and XGBoost")
	}
	const rows, at = 5000, int64(1_760_000_000_000)
	set, dir := feature.Player, t.TempDir()
	rng := rand.New(rand.NewPCG(81, 82))
	players := make([]*event.Features, rows)
	file := filepath.Join(dir, "training.parquet")
	if err := offline.Whole(file, nil, func(f io.WriteSeeker) error {
		w, err := offline.NewWriter(f, offline.Parquet, set, offline.Training, nil)
		if err != nil {
			return err
		}
		for i := range players {
			players[i] = drawnPlayer(rng, at)
			churned := rng.Float64() < scoring.Sigmoid(float64(at-players[i].LastActivity)/4e8-float64(players[i].Sessions[2])/4)
			if err := w.Write(&offline.Row{At: at, Created: at - 1, Features: players[i], Churned: &churned}); err != nil {
				return err
			}
		}
		return w.Close()
	}); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join("models", "trees", "testdata", "train_parquet.py")
	if out, err := exec.CommandContext(t.Context(), python, append([]string{script, file, dir}, set.Names()...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"lightgbm", "xgboost"} {
		model := must(trees.Import(must(os.ReadFile(filepath.Join(dir, name+".model"))), set, nil))
		a := &scoring.Artefact{Name: "churn", Version: "test", Kind: model.Kind, Trees: model.Trees,
			Features: scoring.Contract{Set: set.Name, Version: set.Version, Hash: set.Hash(), Names: model.Names}}
		for line := range bytes.Lines(must(os.ReadFile(filepath.Join(dir, name+".rows")))) {
			var g scoring.Golden
			if err := json.Unmarshal(line, &g); err != nil {
				t.Fatal(err)
			}
			a.Golden = append(a.Golden, g)
		}
		if len(a.Golden) != 1000 {
			t.Fatalf("%s scored %d rows", name, len(a.Golden))
		}
		s := must(scoring.Open(must(scoring.Seal(a, set)), set))
		scratch, vector, exact := make([]float64, s.Inputs()), []float64(nil), 0
		for i, g := range a.Golden {
			vector = players[i].Vector(at, vector[:0])
			raw, p := s.Raw(vector, scratch)
			if !(math.Abs(raw-g.Raw) <= 1e-6) || !(math.Abs(p-g.P) <= 1e-6) {
				t.Fatalf("%s: row %d is scored %v and %v, by its trainer %v and %v", name, i, raw, p, g.Raw, g.P)
			}
			if raw == g.Raw {
				exact++
			}
		}
		t.Logf("%s: %d of %d raw scores bit for bit", name, exact, len(a.Golden))
	}
}

// drawnPlayer draws one player's features as of a time, a third of them without latency and gaps.
func drawnPlayer(rng *rand.Rand, at int64) *event.Features {
	f := &event.Features{PlayerID: "p", AsOf: at - 1, Watermark: at - 1, Maturity: event.Final, SpendCurrency: "EUR",
		LastActivity: at - int64(rng.ExpFloat64()*4e8), GapMeanS: -1, GapVarS2: -1}
	f.FirstActivity = f.LastActivity - int64(rng.ExpFloat64()*1e9)
	known := rng.IntN(3) > 0
	if known {
		f.GapMeanS, f.GapVarS2 = 1+rng.ExpFloat64()*1e5, rng.ExpFloat64()*1e9
	}
	for w := range event.NumWindows {
		f.Sessions[w], f.PlaytimeS[w], f.Clicks[w] = uint32(rng.IntN(20)), uint32(rng.ExpFloat64()*1e4), uint32(rng.IntN(5))
		f.NetSpend[w] = int64(rng.NormFloat64() * 5000)
		f.LatencyMeanMS[w], f.LatencyMaxMS[w] = -1, -1
		if known {
			f.LatencyMeanMS[w], f.LatencyMaxMS[w] = rng.ExpFloat64()*100, rng.ExpFloat64()*400
		}
	}
	return f
}

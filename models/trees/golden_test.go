package trees

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// letters is the feature set of testdata/train.py.
var letters = feature.New(feature.Set{Name: "letters", Version: 1, Key: "id", Features: []feature.Feature{
	{Name: "f7", Nullable: true}, {Name: "f0", Nullable: true}, {Name: "f1", Nullable: true}, {Name: "f2", Nullable: true}, {Name: "unused"},
	{Name: "f3", Nullable: true}, {Name: "f4", Nullable: true}, {Name: "f5", Nullable: true}, {Name: "f6", Nullable: true},
}})

// TestGolden scores small models of the real trainers, which are kept beside the test.
func TestGolden(t *testing.T) {
	compare(t, filepath.Join("testdata", "golden"), 16)
}

// TestTrainers trains 500 trees with the real trainers here and now, and scores their 1,000 rows.
func TestTrainers(t *testing.T) {
	python := os.Getenv("DROPLIFT_PYTHON")
	if python == "" {
		embeddedtest.Missing(t, "trainers", "DROPLIFT_PYTHON names no Python with LightGBM and XGBoost")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "train.py"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	compare(t, dir, 16)
}

func compare(t *testing.T, dir string, want int) {
	files, err := filepath.Glob(filepath.Join(dir, "*.model"))
	if err != nil || len(files) != want {
		t.Fatalf("%d models in %s instead of %d (%v)", len(files), dir, want, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".model")
		t.Run(name, func(t *testing.T) {
			artefact, rows := sealed(t, file)
			s, err := scoring.Open(artefact, letters)
			if err != nil {
				t.Fatal(err)
			}
			// Rounding of the base score's logarithm is the one difference that is allowed, and only to XGBoost.
			allowed := 0.0
			if strings.HasPrefix(name, "xgboost") {
				allowed = 1e-6
			}
			worst, exact := 0.0, 0
			scratch := make([]float64, s.Inputs())
			for i, row := range rows {
				raw, p := s.Raw(spread(s, row), scratch)
				difference := math.Abs(raw - row.Raw)
				if !(difference <= allowed) || !(math.Abs(p-row.P) <= 1e-6) {
					t.Fatalf("row %d: %v and %v instead of %v and %v", i, raw, p, row.Raw, row.P)
				}
				if worst = max(worst, difference); difference == 0 {
					exact++
				}
			}
			t.Logf("%d of %d raw scores bit for bit, largest difference %g", exact, len(rows), worst)
		})
	}
}

// sealed imports a model, with its rows as golden ones, and returns the file of its artefact and the rows.
func sealed(t testing.TB, model string) ([]byte, []scoring.Golden) {
	t.Helper()
	text, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Import(text, letters, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := golden(t, strings.TrimSuffix(model, ".model")+".rows")
	file, err := scoring.Seal(&scoring.Artefact{Name: "test", Version: "test-1", Kind: m.Kind, Trees: m.Trees, Golden: rows,
		Features: scoring.Contract{Set: letters.Name, Version: letters.Version, Hash: letters.Hash(), Names: m.Names}}, letters)
	if err != nil {
		t.Fatal(err)
	}
	return file, rows
}

func golden(t testing.TB, file string) []scoring.Golden {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []scoring.Golden
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var row scoring.Golden
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if len(rows) < 50 {
		t.Fatalf("%s has %d rows", file, len(rows))
	}
	return rows
}

// spread puts a row into a vector of the whole set.
func spread(s *scoring.Scorer, row scoring.Golden) []float64 {
	vector := make([]float64, len(letters.Features))
	for i, name := range s.Artefact().Features.Names {
		v := math.NaN()
		if row.Features[i] != nil {
			v = *row.Features[i]
		}
		vector[letters.Index(name)] = v
	}
	return vector
}

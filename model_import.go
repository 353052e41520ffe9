package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/models/trees"
)

// ModelImportCmd makes an artefact of a model that another trainer wrote.
type ModelImportCmd struct {
	Lightgbm string            `help:"LightGBM's text file." type:"existingfile" xor:"model" required:"" placeholder:"FILE"`
	Xgboost  string            `help:"XGBoost's JSON file." type:"existingfile" xor:"model" required:"" placeholder:"FILE"`
	Golden   string            `help:"Rows that the trainer scored, one JSON object a line: features in the model's order with null for missing, raw and p." type:"existingfile" required:"" placeholder:"ROWS"`
	Rows     int               `name:"least-rows" help:"Rows that must be there; every one must be scored alike, within 1e-6." default:"1000"`
	Rename   map[string]string `help:"Our feature's name for a trainer's." mapsep:"," placeholder:"THEIRS=OURS,..."`

	Out         string        `short:"o" help:"File for the artefact; default is its version and .json." placeholder:"FILE"`
	Name        string        `help:"Name of the model." default:"churn"`
	TrainedFrom time.Time     `help:"First scoring time that it was trained on." placeholder:"TIME"`
	TrainedTo   time.Time     `help:"Last scoring time that it was trained on; rows to judge it by must lie behind its label." required:"" placeholder:"TIME"`
	Horizon     time.Duration `help:"Length of its label's window." default:"336h"`
	Embargo     time.Duration `help:"Time between the score and that window." default:"10m"`
}

// Help is shown by --help.
func (c *ModelImportCmd) Help() string {
	return "Trees are scored exactly as the trainer scores them, or refused. Of the golden rows up to 100 stay in the artefact, so that every edge " +
		"proves it again.\n\nExample:\n\n  droplift model import --lightgbm model.txt --golden rows.jsonl --trained-to 2026-05-01T00:00:00Z"
}

// keptGolden is how many golden rows an imported artefact keeps.
const keptGolden = 100

func (c *ModelImportCmd) Run() error {
	read, name := trees.LightGBM, c.Lightgbm
	if name == "" {
		read, name = trees.XGBoost, c.Xgboost
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	m, err := read(text, feature.Player, c.Rename)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	rows, err := readGolden(c.Golden)
	if err != nil {
		return err
	}
	if len(rows) < max(c.Rows, 1) {
		return fmt.Errorf("%s: %d rows, %d are needed to trust that the model is scored as its trainer does", c.Golden, len(rows), max(c.Rows, 1))
	}
	a := &scoring.Artefact{
		Name: c.Name, Version: "unproved", Kind: m.Kind, Trees: m.Trees, Golden: rows,
		Features: scoring.Contract{Set: feature.Player.Name, Version: feature.Player.Version, Hash: feature.Player.Hash(), Names: m.Names},
		Training: scoring.Training{To: c.TrainedTo.UnixMilli(), HorizonMS: c.Horizon.Milliseconds(), EmbargoMS: c.Embargo.Milliseconds(),
			Label: "as its trainer was given", Trainer: m.Trainer},
	}
	if !c.TrainedFrom.IsZero() {
		a.Training.From = c.TrainedFrom.UnixMilli()
	}
	if _, err := scoring.Seal(a, feature.Player); err != nil { // proves every row
		return err
	}
	a.Golden = nil
	for i := range min(keptGolden, len(rows)) {
		a.Golden = append(a.Golden, rows[i*len(rows)/min(keptGolden, len(rows))])
	}
	a.Version = churn.Version(a, time.Now().UnixMilli())
	out, err := writeArtefact(a, c.Out)
	if err != nil {
		return err
	}
	fmt.Printf("%d rows are scored as %s does.\n\n", len(rows), m.Trainer)
	if err := showArtefact(os.Stdout, a, nil, ""); err != nil {
		return err
	}
	fmt.Printf("\nWrote %s: droplift model publish %s\n", out, out)
	return nil
}

// readGolden reads one golden row a line.
func readGolden(name string) ([]scoring.Golden, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var rows []scoring.Golden
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var row scoring.Golden
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", name, n, err)
		}
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(rows) == 0 {
		return nil, errors.New(name + " holds no row")
	}
	return rows, nil
}

package churn

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// Row is one player at one scoring time.
type Row struct {
	Player string
	// At is t0, Unix ms.
	At int64
	// X is the vector of the whole set as of At, NaN for missing.
	X []float64
	// Churned is nil while the label is not known.
	Churned *bool
}

// TrainConfig configures Train. Zero values mean the documented defaults.
type TrainConfig struct {
	// Name of the model, such as churn.
	Name string
	// Set of the vectors, and Names of the features to use; nil for all of it.
	Set   *feature.Set
	Names []string
	Label Label
	// TestFrom is the first t0 of the test. 0 chooses the latest that leaves TestShare (default 0.25) of the labelled rows to it.
	TestFrom  int64
	TestShare float64
	// CalibrationShare (default 0.25) of the players before the test are kept from the fit, for calibration.
	CalibrationShare float64
	// Isotonic calibrates by steps where there are MinIsotonic positives for it, instead of by Platt's line.
	Isotonic bool
	// Bins of the calibration error and of the references (default 10), Golden rows (default 32).
	Bins   int
	Golden int
	Fit    FitConfig
	// FTRL, if not nil, learns from one row after the other, by scoring time and player, instead of fitting all of them at once.
	// Fit.Log counts for it, too.
	FTRL *FTRLConfig
	// Seed decides which players calibrate.
	Seed uint64
	// At is when the model is trained (Unix ms), which goes into its version.
	At int64
}

// Validate reports every problem at once.
func (c TrainConfig) Validate() error {
	c = c.withDefaults()
	var problems []error
	if c.Name == "" || c.Set == nil {
		problems = append(problems, errors.New("churn: training needs a name and a feature set"))
	}
	for _, share := range []struct {
		name  string
		value float64
	}{{"test", c.TestShare}, {"calibration", c.CalibrationShare}} {
		if !(share.value > 0 && share.value < 1) {
			problems = append(problems, fmt.Errorf("churn: a %s share of %v is not in (0, 1)", share.name, share.value))
		}
	}
	if c.Label.HorizonMS <= 0 || c.Label.EmbargoMS < 0 {
		problems = append(problems, fmt.Errorf("churn: a horizon of %d ms with an embargo of %d ms", c.Label.HorizonMS, c.Label.EmbargoMS))
	}
	if c.Bins < 2 || c.Golden < 1 {
		problems = append(problems, fmt.Errorf("churn: %d bins and %d golden rows", c.Bins, c.Golden))
	}
	return errors.Join(problems...)
}

func (c TrainConfig) withDefaults() TrainConfig {
	c.TestShare, c.CalibrationShare = cmp.Or(c.TestShare, .25), cmp.Or(c.CalibrationShare, .25)
	c.Bins, c.Golden = cmp.Or(c.Bins, 10), cmp.Or(c.Golden, 32)
	if c.Names == nil && c.Set != nil {
		c.Names = c.Set.Names()
	}
	return c
}

// Result is a trained model and what came of every row.
type Result struct {
	Artefact *scoring.Artefact
	Fit      FitReport
	// TestFrom is the first t0 of the test.
	TestFrom int64
	// Where the rows went: the fit, the calibration, the test. Embargoed ones lie before the test with a label that looks into
	// it, Unknown ones have no label yet; both are used for nothing.
	Fitted, Calibrated, Tested, Embargoed, Unknown int
	// P and Y are the test's probabilities and labels, in the order of its rows.
	P, Y []float64
}

// trainer names the software in artefacts.
const trainer = "droplift logistic regression (gonum L-BFGS)"

// Train makes a model of rows: split by time with an embargo, fit, calibration on players of their own, metrics on the later
// rows, and an artefact that is ready to be sealed. Rows may come in any order, which does not matter.
func Train(rows []Row, cfg TrainConfig) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	at, err := cfg.Set.Position(cfg.Names)
	if err != nil {
		return nil, err
	}
	r, parts, err := split(rows, &cfg, at)
	if err != nil {
		return nil, err
	}
	kind, learn := "logistic", func() (*scoring.Linear, FitReport, error) { return Fit(parts.fit, cfg.Fit) }
	if cfg.FTRL != nil {
		kind, learn = "ftrl", func() (*scoring.Linear, FitReport, error) { return cfg.FTRL.fit(parts.fit, cfg.Fit) }
	}
	linear, report, err := learn()
	if err != nil {
		return nil, fmt.Errorf("%w (fit of %d rows)", err, r.Fitted)
	}
	r.Fit = report
	a := &scoring.Artefact{
		Name: cfg.Name, Kind: kind, Linear: linear,
		Features: scoring.Contract{Set: cfg.Set.Name, Version: cfg.Set.Version, Hash: cfg.Set.Hash(), Names: cfg.Names},
		Training: parts.training(r, &cfg),
	}
	r.Artefact = a
	if cfg.FTRL != nil {
		a.Training.Trainer, a.Training.Updates = "droplift FTRL-proximal", uint64(r.Fitted)
	}
	if err := calibrate(a, &parts.calibration, cfg.Isotonic); err != nil {
		return nil, fmt.Errorf("%w (calibration on %d rows)", err, r.Calibrated)
	}
	for _, x := range parts.test.X {
		_, p := Probability(a, x)
		r.P = append(r.P, p)
	}
	r.Y = parts.test.Y
	metrics, err := Evaluate(r.P, r.Y, cfg.Bins)
	if err != nil {
		return nil, err
	}
	metrics.BaseLogLoss = BaseLogLoss(float64(a.Training.Positives)/float64(a.Training.Rows), r.Y)
	a.Metrics = &metrics
	seen := Data{Names: cfg.Names, X: slices.Concat(parts.fit.X, parts.calibration.X)}
	a.Reference = References(seen, cfg.Bins)
	a.Golden = goldenRows(a, parts.test.X, r.P, cfg.Golden)
	a.Version = Version(a, cfg.At)
	return r, nil
}

// parts are the rows by use, and the score times they span.
type parts struct {
	fit, calibration, test Data
	from, to               int64
	testFrom, testTo       int64
}

func split(rows []Row, cfg *TrainConfig, at []int) (*Result, *parts, error) {
	r := &Result{TestFrom: cfg.TestFrom}
	labelled := make([]*Row, 0, len(rows))
	for i := range rows {
		if rows[i].Churned == nil {
			r.Unknown++
			continue
		}
		if err := cfg.Set.Check(rows[i].X); err != nil {
			return nil, nil, fmt.Errorf("player %s at %d: %w", rows[i].Player, rows[i].At, err)
		}
		labelled = append(labelled, &rows[i])
	}
	slices.SortFunc(labelled, func(a, b *Row) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Player, b.Player))
	})
	for i := 1; i < len(labelled); i++ {
		if a, b := labelled[i-1], labelled[i]; a.At == b.At && a.Player == b.Player {
			return nil, nil, fmt.Errorf("churn: player %s is scored twice at %d", a.Player, a.At)
		}
	}
	if r.TestFrom == 0 && len(labelled) > 0 {
		r.TestFrom = labelled[min(len(labelled)-1, int(float64(len(labelled))*(1-cfg.TestShare)))].At
	}
	p := &parts{}
	for _, d := range []*Data{&p.fit, &p.calibration, &p.test} {
		d.Names = cfg.Names
	}
	for _, row := range labelled {
		var to *Data
		switch {
		case row.At >= r.TestFrom:
			to = &p.test
			p.testFrom, p.testTo = r.TestFrom, row.At
		case !cfg.Label.Trains(row.At, r.TestFrom):
			r.Embargoed++
			continue
		default:
			if p.from == 0 {
				p.from = row.At
			}
			p.to = row.At
			if to = &p.fit; part(row.Player, cfg.Seed) < cfg.CalibrationShare {
				to = &p.calibration
			}
		}
		x := make([]float64, len(at))
		for i, j := range at {
			x[i] = row.X[j]
		}
		y := 0.0
		if *row.Churned {
			y = 1
		}
		to.X, to.Y = append(to.X, x), append(to.Y, y)
	}
	r.Fitted, r.Calibrated, r.Tested = len(p.fit.Y), len(p.calibration.Y), len(p.test.Y)
	if r.Fitted == 0 || r.Calibrated == 0 || r.Tested == 0 {
		return nil, nil, fmt.Errorf("%w: %d to fit, %d to calibrate, %d to test from %s on, %d embargoed before it, %d without a label yet: score times must reach more than horizon and embargo back from the test",
			ErrTooFew, r.Fitted, r.Calibrated, r.Tested, time.UnixMilli(r.TestFrom).UTC().Format(time.RFC3339), r.Embargoed, r.Unknown)
	}
	return r, p, nil
}

// part is uniform in [0, 1) over players, and the same for all rows of one: nobody is in the fit and in the calibration.
func part(player string, seed uint64) float64 {
	h := fnv.New64a()
	h.Write([]byte(player))
	// The finaliser of SplitMix64, as the last bytes of a name do not reach the highest bits of FNV.
	x := h.Sum64() ^ seed*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}

func (p *parts) training(r *Result, cfg *TrainConfig) scoring.Training {
	t := scoring.Training{
		From: p.from, To: p.to, TestFrom: p.testFrom, TestTo: p.testTo,
		EmbargoMS: cfg.Label.EmbargoMS, HorizonMS: cfg.Label.HorizonMS,
		Label: "no session starts within the horizon after the embargo", Rows: r.Fitted + r.Calibrated,
		Trainer: trainer, Seed: cfg.Seed,
	}
	for _, d := range []Data{p.fit, p.calibration} {
		for _, y := range d.Y {
			t.Positives += int(y)
		}
	}
	return t
}

// calibrate sets the calibration of a: steps where they are asked for and there are enough positives, a line otherwise.
func calibrate(a *scoring.Artefact, held *Data, steps bool) error {
	raw, p, positives := make([]float64, len(held.X)), make([]float64, len(held.X)), 0
	for i, x := range held.X {
		raw[i] = Raw(a.Linear, x)
		p[i] = scoring.Sigmoid(raw[i])
		positives += int(held.Y[i])
	}
	var err error
	if steps && positives >= MinIsotonic {
		a.Isotonic, err = Isotonic(p, held.Y, false)
		return err
	}
	a.Platt, err = Platt(raw, held.Y)
	return err
}

// Probability of a linear artefact for x in the order of its names, before and after link and calibration: the trainer's own
// word, which golden rows hold the scorer to.
func Probability(a *scoring.Artefact, x []float64) (raw, p float64) {
	raw = Raw(a.Linear, x)
	switch {
	case a.Platt != nil:
		return raw, a.Platt.Probability(raw)
	case a.Isotonic != nil:
		return raw, a.Isotonic.Probability(raw)
	}
	return raw, scoring.Sigmoid(raw)
}

// goldenRows are n rows of the test from the lowest score to the highest, and one without any value.
func goldenRows(a *scoring.Artefact, x [][]float64, p []float64, n int) []scoring.Golden {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Or(cmp.Compare(p[i], p[j]), cmp.Compare(i, j)) })
	absent := make([]float64, len(a.Features.Names))
	for i := range absent {
		absent[i] = math.NaN()
	}
	chosen := [][]float64{absent}
	n = min(n, len(order))
	for k := range n {
		chosen = append(chosen, x[order[k*(len(order)-1)/max(1, n-1)]])
	}
	golden := make([]scoring.Golden, len(chosen))
	for i, x := range chosen {
		g := &golden[i]
		g.Raw, g.P = Probability(a, x)
		for _, v := range x {
			if v != v {
				g.Features = append(g.Features, nil)
				continue
			}
			g.Features = append(g.Features, &v)
		}
	}
	return golden
}

// Version names a by when it was trained (Unix ms) and what it holds: <name>-<UTC time>-<8 digits of the hash of the content>.
func Version(a *scoring.Artefact, at int64) string {
	content := *a
	content.Version, content.Checksum = "", ""
	body, err := json.Marshal(&content)
	if err != nil {
		// Only a NaN or an infinity can be in the way, and Seal says which model that is.
		body = nil
	}
	sum := sha256.Sum256(body)
	return fmt.Sprintf("%s-%s-%x", a.Name, time.UnixMilli(at).UTC().Format("20060102T150405"), sum[:4])
}

// Package scoring owns trained models as artefacts and their scoring: one JSON
// file that says what it was trained on, how good it was, and proves that it is
// whole; and scorers that allocate nothing. It uses the standard library alone,
// because the same code is built to WebAssembly for the edge.
package scoring

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// Format is the newest version of the artefact's format that this code reads and the one it writes.
const Format = 1

// MaxBytes bounds an artefact: compressed, it must fit one record of the model topic.
const MaxBytes = 8 << 20

// Artefact is one trained model. Exactly one of Linear and Trees is set.
type Artefact struct {
	// Format of the file; one above Format is from a newer version and refused.
	Format int `json:"format"`
	// Name of the model, such as churn, and its Version: unique, chosen at training.
	Name    string `json:"name"`
	Version string `json:"version"`
	// Kind is how it was made: logistic, ftrl, lightgbm, xgboost.
	Kind     string    `json:"kind"`
	Features Contract  `json:"features"`
	Training Training  `json:"training"`
	Metrics  *Metrics  `json:"metrics,omitempty"` // on the held-out set
	Linear   *Linear   `json:"linear,omitempty"`
	Trees    *Trees    `json:"trees,omitempty"`
	Platt    *Platt    `json:"platt,omitempty"`
	Isotonic *Isotonic `json:"isotonic,omitempty"`
	// Reference is the distribution of each used feature in training, for drift.
	Reference []Reference `json:"reference,omitempty"`
	// Golden rows: Open scores them and refuses the artefact when the result differs by more than 1e-6.
	Golden []Golden `json:"golden"`
	// Checksum is the SHA-256 in hex of the file with this field empty.
	Checksum string `json:"checksum"`
}

// Contract binds a model to a feature set.
type Contract struct {
	Set     string `json:"set"`
	Version int    `json:"version"`
	// Hash of the whole set; Names are the model's inputs, a selection of the set's features, in the model's order.
	Hash  string   `json:"hash"`
	Names []string `json:"names"`
}

// Training says what a model has seen. Times are Unix ms UTC.
type Training struct {
	// From and To bound the score times t0 of the training rows, TestFrom and TestTo of the held-out ones.
	From     int64 `json:"from"`
	To       int64 `json:"to"`
	TestFrom int64 `json:"test_from,omitempty"`
	TestTo   int64 `json:"test_to,omitempty"`
	// EmbargoMS and HorizonMS are δ and N of the label (DOMAIN 1.2).
	EmbargoMS int64  `json:"embargo_ms"`
	HorizonMS int64  `json:"horizon_ms"`
	Label     string `json:"label"`
	Rows      int    `json:"rows"`
	Positives int    `json:"positives"`
	// Trainer names the software and its version; Seed its seed.
	Trainer string `json:"trainer"`
	Seed    uint64 `json:"seed,omitempty"`
	// Updates counts the examples an online model has learned from.
	Updates uint64 `json:"updates,omitempty"`
}

// Metrics are DOMAIN 1.5's, on the held-out set. AUC is −1 when one class is absent.
type Metrics struct {
	Rows      int     `json:"rows"`
	Positives int     `json:"positives"`
	AUC       float64 `json:"auc"`
	AUCSE     float64 `json:"auc_se"`
	LogLoss   float64 `json:"log_loss"`
	// BaseLogLoss is that of always saying the training set's base rate.
	BaseLogLoss float64 `json:"base_log_loss"`
	Brier       float64 `json:"brier"`
	// ECE over Bins equal-mass bins.
	ECE  float64 `json:"ece"`
	Bins int     `json:"bins"`
	// Slope and Intercept of the outcome on the score's logit; 1 and 0 are perfect.
	Slope     float64 `json:"slope"`
	Intercept float64 `json:"intercept"`
}

// Reference is one feature's distribution in training: Shares of len(Edges)+1 bins, bin i is (Edges[i−1], Edges[i]];
// Missing is the share of missing values, which are in no bin. Shares and Missing are of all rows: they add up to 1.
type Reference struct {
	Name    string    `json:"name"`
	Edges   []float64 `json:"edges"`
	Shares  []float64 `json:"shares"`
	Missing float64   `json:"missing"`
}

// Golden is one row with its score by the trainer. A nil feature is missing.
type Golden struct {
	Features []*float64 `json:"features"` // in the order of Contract.Names
	// Raw is the score before the link and calibration, P the probability after both.
	Raw float64 `json:"raw"`
	P   float64 `json:"p"`
}

// Errors of Open, for errors.Is; each is a named outcome of a model that never reaches scoring.
var (
	ErrMalformed = errors.New("scoring: not a model artefact")
	ErrTooLarge  = errors.New("scoring: the artefact is too large")
	ErrChecksum  = errors.New("scoring: the artefact was changed after it was sealed")
	ErrNewer     = errors.New("scoring: the artefact is of a newer format")
	ErrFeatures  = errors.New("scoring: the artefact was trained on other features")
	ErrGolden    = errors.New("scoring: the artefact does not score its own golden rows")
)

// Refusal names an error of Open in messages and metric labels; it is empty for any other error.
func Refusal(err error) string {
	for _, r := range []struct {
		err  error
		name string
	}{
		{ErrTooLarge, "too_large"}, {ErrNewer, "newer"}, {ErrChecksum, "checksum"}, {ErrFeatures, "features"},
		{ErrGolden, "golden"}, {ErrMalformed, "malformed"},
	} {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return ""
}

// Features is the feature set that models are opened against.
type Features interface {
	Hash() string
	Position(names []string) ([]int, error)
}

// Open reads an artefact, proves it whole, fit for the set, and equal to its trainer on its golden rows, and returns its scorer.
func Open(file []byte, set Features) (*Scorer, error) {
	if len(file) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are published; train fewer or smaller trees", ErrTooLarge, len(file), MaxBytes)
	}
	file = bytes.TrimSpace(file)
	var a Artefact
	r := reader{data: file}
	r.artefact(&a)
	r.end()
	if a.Format > Format {
		return nil, fmt.Errorf("%w: %d, this version reads up to %d: upgrade droplift", ErrNewer, a.Format, Format)
	}
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, r.err)
	}
	// The seal is over the very bytes, and the checksum the last thing in them.
	rest, sealed := bytes.CutSuffix(file, []byte(a.Checksum+`"}`))
	if sum := checksum(rest, []byte(`"}`)); !sealed || a.Checksum != sum {
		return nil, fmt.Errorf("%w: its checksum is %.12s…, it says %.12s…", ErrChecksum, sum, a.Checksum)
	}
	return newScorer(&a, set)
}

// checksum of the parts one behind the other.
func checksum(parts ...[]byte) string {
	h := sha256.New()
	for _, part := range parts {
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

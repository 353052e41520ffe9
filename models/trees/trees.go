// Package trees reads boosted trees as their trainers write them, LightGBM's text
// and XGBoost's JSON, into scoring.Trees, which scores exactly as the trainer
// does. What would be scored in another way is refused, never approximated.
package trees

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/droplift/droplift/models/scoring"
)

// Errors of the imports, for errors.Is.
var (
	// ErrMalformed is a file that is no model of its trainer, or a damaged one.
	ErrMalformed = errors.New("trees: not a model file")
	// ErrUnsupported is a model that this package cannot score exactly, or not as a probability.
	ErrUnsupported = errors.New("trees: a model of this sort is not supported")
	// ErrFeatures is a model of features that the set does not have.
	ErrFeatures = errors.New("trees: the model's features are not those of the set")
)

// Model is an imported ensemble. Its raw score is the logarithm of the odds.
type Model struct {
	// Kind and Trainer are for scoring.Artefact and its Training: lightgbm or xgboost, and the trainer with the version of
	// its format.
	Kind    string
	Trainer string
	// Names are the set's features in the order of the model's inputs.
	Names []string
	Trees *scoring.Trees
}

// Import reads a model file of either trainer. Its features must be named like those of the set; renamed gives the
// set's name for a trainer's, and may be nil.
func Import(file []byte, set scoring.Features, renamed map[string]string) (*Model, error) {
	switch {
	case bytes.HasPrefix(file, []byte("tree\n")), bytes.HasPrefix(file, []byte("tree\r\n")):
		return LightGBM(file, set, renamed)
	case bytes.HasPrefix(bytes.TrimLeft(file, " \t\r\n"), []byte(`{"`)):
		return XGBoost(file, set, renamed)
	case bytes.HasPrefix(file, []byte("{L")), bytes.HasPrefix(file, []byte("{$")), bytes.HasPrefix(file, []byte("{#")):
		return nil, fmt.Errorf("%w: this is XGBoost's UBJSON; save it under a name that ends in .json", ErrUnsupported)
	}
	return nil, fmt.Errorf("%w: neither LightGBM's text nor XGBoost's JSON", ErrMalformed)
}

// named gives the set's names for the trainer's.
func named(theirs []string, set scoring.Features, renamed map[string]string) ([]string, error) {
	names := make([]string, len(theirs))
	for i, name := range theirs {
		names[i] = name
		if ours, ok := renamed[name]; ok {
			names[i] = ours
		}
	}
	if len(names) > scoring.MaxTreeInputs {
		return nil, fmt.Errorf("%w: it takes %d features, at most %d are", ErrUnsupported, len(names), scoring.MaxTreeInputs)
	}
	if _, err := set.Position(names); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFeatures, err)
	}
	return names, nil
}

// split is one node of a trainer's tree. A leaf has no children and its score as value.
type split struct {
	decision    byte
	feature     int32
	value       float64
	left, right int
}

// grow appends a tree in preorder. node returns the trainer's node of a number, and false if it has none; the root
// and the links between them are the trainer's own.
func grow(t *scoring.Trees, root, nodes int, node func(int) (split, bool)) error {
	left := nodes
	var decisions []byte
	var add func(i, depth int) error
	add = func(i, depth int) error {
		if left--; left < 0 {
			return errors.New("its nodes are linked in a circle")
		}
		if depth > scoring.MaxTreeDepth {
			return fmt.Errorf("it is deeper than %d", scoring.MaxTreeDepth)
		}
		n, ok := node(i)
		if !ok {
			return fmt.Errorf("node %d is absent", i)
		}
		if math.IsNaN(n.value) || math.IsInf(n.value, 0) {
			return fmt.Errorf("node %d has the value %v", i, n.value)
		}
		decisions = append(decisions, n.decision)
		t.Feature = append(t.Feature, n.feature)
		t.Value = append(t.Value, n.value)
		if n.decision == scoring.Leaf {
			return nil
		}
		if err := add(n.left, depth+1); err != nil {
			return err
		}
		return add(n.right, depth+1)
	}
	if err := add(root, 0); err != nil {
		return err
	}
	if left > 0 {
		return fmt.Errorf("%d of its nodes are not reached", left)
	}
	t.Decisions += string(decisions)
	return nil
}

// keep stores a bit set of categories and returns its index; equal ones are kept once.
func keep(t *scoring.Trees, words []uint32) float64 {
	for len(words) > 0 && words[len(words)-1] == 0 {
		words = words[:len(words)-1]
	}
	if i := slices.IndexFunc(t.Sets, func(s []uint32) bool { return slices.Equal(s, words) }); i >= 0 {
		return float64(i)
	}
	t.Sets = append(t.Sets, words)
	return float64(len(t.Sets) - 1)
}

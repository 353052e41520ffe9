package trees

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/droplift/droplift/models/scoring"
)

// Bits of LightGBM's decision_type; the missing type stands above them.
const (
	lightCategorical = 1
	lightDefaultLeft = 2
	lightMissing     = 2 // shift
)

// LightGBM's missing types.
const (
	missingNone = iota
	missingZero
	missingNaN
)

// LightGBM reads a model that LightGBM 4 saved as text (Booster.save_model), with the objective binary (DOMAIN 1.6).
// Scores are LightGBM's raw scores bit for bit.
func LightGBM(file []byte, set scoring.Features, renamed map[string]string) (*Model, error) {
	head, rest, _ := bytes.Cut(file, []byte("\nTree="))
	header, err := pairs(head)
	if err != nil {
		return nil, err
	}
	if _, ok := header["tree"]; !ok {
		return nil, fmt.Errorf("%w: it does not begin like LightGBM's", ErrMalformed)
	}
	if v := header["version"]; v != "v4" {
		return nil, fmt.Errorf("%w: LightGBM's format %q; load it with LightGBM 4 and save it again", ErrUnsupported, v)
	}
	if objective := header["objective"]; objective != "binary sigmoid:1" {
		return nil, fmt.Errorf("%w: the objective is %q, not binary with a sigmoid of 1", ErrUnsupported, objective)
	}
	if _, average := header["average_output"]; average {
		return nil, fmt.Errorf("%w: a random forest averages its trees", ErrUnsupported)
	}
	for key, want := range map[string]string{"num_class": "1", "num_tree_per_iteration": "1"} {
		if header[key] != want {
			return nil, fmt.Errorf("%w: %s is %q", ErrUnsupported, key, header[key])
		}
	}
	theirs := strings.Fields(header["feature_names"])
	if last, err := strconv.Atoi(header["max_feature_idx"]); err != nil || last+1 != len(theirs) {
		return nil, fmt.Errorf("%w: max_feature_idx is %q with %d feature names", ErrMalformed, header["max_feature_idx"], len(theirs))
	}
	names, err := named(theirs, set, renamed)
	if err != nil {
		return nil, err
	}
	trees, tail, ended := bytes.Cut(rest, []byte("\nend of trees\n"))
	if !ended {
		return nil, fmt.Errorf("%w: its end of trees is absent", ErrMalformed)
	}
	if _, line, ok := bytes.Cut(tail, []byte("\npandas_categorical:")); ok {
		if line, _, _ = bytes.Cut(line, []byte("\n")); string(line) != "null" && string(line) != "[]" {
			return nil, fmt.Errorf("%w: it was trained on categories of pandas, whose numbers only pandas knows; train on numbers", ErrUnsupported)
		}
	}
	m := &Model{Kind: "lightgbm", Trainer: "LightGBM, format v4", Names: names, Trees: &scoring.Trees{}}
	sections := bytes.Split(trees, []byte("\nTree="))
	if sizes := strings.Fields(header["tree_sizes"]); len(sizes) != len(sections) {
		return nil, fmt.Errorf("%w: it announces %d trees and has %d", ErrMalformed, len(sizes), len(sections))
	}
	for i, section := range sections {
		number, body, _ := bytes.Cut(section, []byte("\n"))
		if string(bytes.TrimSpace(number)) != strconv.Itoa(i) {
			return nil, fmt.Errorf("%w: tree %q stands in place %d", ErrMalformed, number, i)
		}
		if err := lightTree(m.Trees, body); err != nil {
			return nil, fmt.Errorf("%w: tree %d: %w", ErrMalformed, i, err)
		}
	}
	return m, nil
}

// pairs reads lines of key=value; a line without = is a key.
func pairs(text []byte) (map[string]string, error) {
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "=")
		if key == "" {
			continue
		}
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("%w: %s stands twice", ErrMalformed, key)
		}
		out[key] = value
	}
	return out, nil
}

// lightLists are the arrays of one tree.
type lightLists struct {
	feature, decision, left, right []int
	threshold, leaf                []float64
	boundaries                     []int
	sets                           []uint32
}

func lightTree(t *scoring.Trees, body []byte) error {
	text, err := pairs(body)
	if err != nil {
		return err
	}
	if linear := text["is_linear"]; linear != "" && linear != "0" {
		return fmt.Errorf("%w: its leaves hold linear models", ErrUnsupported)
	}
	leaves, err := strconv.Atoi(text["num_leaves"])
	if err != nil || leaves < 1 || leaves > len(body) {
		return fmt.Errorf("num_leaves is %q", text["num_leaves"])
	}
	var l lightLists
	inner := leaves - 1
	l.leaf = list(text, "leaf_value", leaves, &err, float)
	l.feature = list(text, "split_feature", inner, &err, strconv.Atoi)
	l.decision = list(text, "decision_type", inner, &err, strconv.Atoi)
	l.left = list(text, "left_child", inner, &err, strconv.Atoi)
	l.right = list(text, "right_child", inner, &err, strconv.Atoi)
	l.threshold = list(text, "threshold", inner, &err, float)
	if categorical, e := strconv.Atoi(text["num_cat"]); e != nil || categorical < 0 || categorical > inner {
		return fmt.Errorf("num_cat is %q", text["num_cat"])
	} else if categorical > 0 {
		l.boundaries = list(text, "cat_boundaries", categorical+1, &err, strconv.Atoi)
		l.sets = list(text, "cat_threshold", -1, &err, func(s string) (uint32, error) {
			v, err := strconv.ParseUint(s, 10, 32)
			return uint32(v), err
		})
	}
	if err != nil {
		return err
	}
	root := 0
	if leaves == 1 {
		root = -1
	}
	var bad error
	err = grow(t, root, leaves+inner, func(i int) (split, bool) {
		n, ok, e := l.node(t, i)
		if e != nil {
			bad = fmt.Errorf("node %d %w", i, e)
		}
		return n, ok && e == nil
	})
	if bad != nil {
		return bad
	}
	return err
}

// node i is a split from 0 on, and below 0 the leaf ^i.
func (l *lightLists) node(t *scoring.Trees, i int) (split, bool, error) {
	if i < 0 {
		if ^i >= len(l.leaf) {
			return split{}, false, nil
		}
		return split{decision: scoring.Leaf, feature: -1, value: l.leaf[^i]}, true, nil
	}
	if i >= len(l.feature) {
		return split{}, false, nil
	}
	n := split{feature: int32(l.feature[i]), value: l.threshold[i], left: l.left[i], right: l.right[i]}
	if f := l.feature[i]; f < 0 || f >= scoring.MaxTreeInputs {
		return n, false, fmt.Errorf("splits on feature %d", f)
	}
	kind := l.decision[i]
	if kind&lightCategorical != 0 {
		at := n.value
		if !(at >= 0 && at < float64(len(l.boundaries)-1) && at == math.Trunc(at)) {
			return n, false, fmt.Errorf("asks for the categories %v", at)
		}
		from, to := l.boundaries[int(at)], l.boundaries[int(at)+1]
		if from < 0 || from > to || to > len(l.sets) {
			return n, false, fmt.Errorf("has its categories from %d to %d of %d", from, to, len(l.sets))
		}
		// A missing category goes right, whatever the missing type.
		n.decision, n.value = scoring.Category, keep(t, l.sets[from:to])
		return n, true, nil
	}
	// All that is not missing goes left of +Inf, which JSON cannot hold; vectors hold no infinities (feature.Set.Check).
	n.value = max(-math.MaxFloat64, min(n.value, math.MaxFloat64))
	left := kind&lightDefaultLeft != 0
	switch kind >> lightMissing {
	case missingNone:
		// NaN counts as 0 where training saw none.
		left = 0 <= n.value
		fallthrough
	case missingNaN:
		n.decision = scoring.MissingRight
		if left {
			n.decision = scoring.MissingLeft
		}
	case missingZero:
		n.decision = scoring.ZeroRight
		if left {
			n.decision = scoring.ZeroLeft
		}
	default:
		return n, false, fmt.Errorf("has the decision type %d", kind)
	}
	return n, true, nil
}

func float(s string) (float64, error) { return strconv.ParseFloat(s, 64) }

// list reads want values apart by spaces, any number if want is −1. The first error of several lists is kept.
func list[T any](text map[string]string, key string, want int, failed *error, parse func(string) (T, error)) []T {
	fields := strings.Fields(text[key])
	if *failed == nil && want >= 0 && len(fields) != want {
		*failed = fmt.Errorf("%s has %d values instead of %d", key, len(fields), want)
	}
	out := make([]T, len(fields))
	for i, field := range fields {
		v, err := parse(field)
		if err != nil && *failed == nil {
			*failed = fmt.Errorf("%s: %w", key, err)
		}
		out[i] = v
	}
	return out
}

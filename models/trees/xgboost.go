package trees

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/droplift/droplift/models/scoring"
)

// xgbModel is what scoring needs of XGBoost's JSON schema.
type xgbModel struct {
	Version []int `json:"version"`
	Learner struct {
		Names   []string `json:"feature_names"`
		Booster struct {
			Name  string `json:"name"`
			Model struct {
				Cats struct {
					Enc []json.RawMessage `json:"enc"`
				} `json:"cats"`
				Param struct {
					Trees string `json:"num_trees"`
				} `json:"gbtree_model_param"`
				Trees []xgbTree `json:"trees"`
			} `json:"model"`
		} `json:"gradient_booster"`
		Param struct {
			BaseScore string `json:"base_score"`
			Classes   string `json:"num_class"`
			Features  string `json:"num_feature"`
			Targets   string `json:"num_target"`
		} `json:"learner_model_param"`
		Objective struct {
			Name string `json:"name"`
		} `json:"objective"`
	} `json:"learner"`
}

type xgbTree struct {
	Left        []int     `json:"left_children"`
	Right       []int     `json:"right_children"`
	Conditions  []float32 `json:"split_conditions"`
	Features    []int     `json:"split_indices"`
	DefaultLeft []int     `json:"default_left"`
	Types       []int     `json:"split_type"`
	// The categories of node CategoryNodes[i] are CategorySizes[i] of Categories from CategorySegments[i] on.
	Categories       []int `json:"categories"`
	CategoryNodes    []int `json:"categories_nodes"`
	CategorySegments []int `json:"categories_segments"`
	CategorySizes    []int `json:"categories_sizes"`
	Param            struct {
		LeafVector string `json:"size_leaf_vector"`
	} `json:"tree_param"`
}

// maxCategory is the greatest category that is kept; XGBoost itself ends at 2²⁴, but a set must stay small.
const maxCategory = 1 << 16

// XGBoost reads a model that XGBoost 2 or 3 saved as JSON (save_model to a name in .json), with the booster gbtree and
// the objective binary:logistic (DOMAIN 1.6). Scores are XGBoost's margins bit for bit, except for the base score's
// logarithm, which may differ in its last bit of 24. All trees count, whatever early stopping found.
func XGBoost(file []byte, set scoring.Features, renamed map[string]string) (*Model, error) {
	var x xgbModel
	if err := json.Unmarshal(file, &x); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	learner, booster := &x.Learner, &x.Learner.Booster
	switch {
	case len(x.Version) != 3 || booster.Name == "":
		return nil, fmt.Errorf("%w: it has no version or booster of XGBoost's", ErrMalformed)
	case x.Version[0] < 2 || x.Version[0] > 3:
		return nil, fmt.Errorf("%w: XGBoost %d; 2 and 3 are", ErrUnsupported, x.Version[0])
	case booster.Name != "gbtree":
		return nil, fmt.Errorf("%w: the booster %q is not gbtree", ErrUnsupported, booster.Name)
	case learner.Objective.Name != "binary:logistic":
		return nil, fmt.Errorf("%w: the objective %q is not binary:logistic", ErrUnsupported, learner.Objective.Name)
	case learner.Param.Classes != "0" || learner.Param.Targets != "1":
		return nil, fmt.Errorf("%w: it has %q classes and %q targets", ErrUnsupported, learner.Param.Classes, learner.Param.Targets)
	case len(booster.Model.Cats.Enc) > 0:
		return nil, fmt.Errorf("%w: it was trained on a data frame's categories, whose numbers only the data frame knows; train on numbers", ErrUnsupported)
	case learner.Param.Features != strconv.Itoa(len(learner.Names)):
		return nil, fmt.Errorf("%w: %d of its %s features are named; give DMatrix feature_names", ErrFeatures, len(learner.Names), learner.Param.Features)
	case len(booster.Model.Trees) == 0 || booster.Model.Param.Trees != strconv.Itoa(len(booster.Model.Trees)):
		return nil, fmt.Errorf("%w: it announces %q trees and has %d", ErrMalformed, booster.Model.Param.Trees, len(booster.Model.Trees))
	}
	base, err := xgbBase(learner.Param.BaseScore)
	if err != nil {
		return nil, err
	}
	names, err := named(learner.Names, set, renamed)
	if err != nil {
		return nil, err
	}
	version := fmt.Sprintf("XGBoost %d.%d.%d", x.Version[0], x.Version[1], x.Version[2])
	m := &Model{Kind: "xgboost", Trainer: version, Names: names, Trees: &scoring.Trees{Base: float64(base), Float32: true}}
	for i := range booster.Model.Trees {
		if err := booster.Model.Trees[i].grow(m.Trees, len(names)); err != nil {
			return nil, fmt.Errorf("%w: tree %d: %w", ErrMalformed, i, err)
		}
	}
	return m, nil
}

// xgbBase is the margin of a base score, which is a probability, since XGBoost 3.1 in brackets.
func xgbBase(text string) (float32, error) {
	p, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), 32)
	if err != nil || !(p > 0 && p < 1) {
		return 0, fmt.Errorf("%w: the base score is %q", ErrMalformed, text)
	}
	return float32(-math.Log(float64(1/float32(p) - 1))), nil
}

func (x *xgbTree) grow(t *scoring.Trees, features int) error {
	n := len(x.Left)
	if n == 0 || len(x.Right) != n || len(x.Conditions) != n || len(x.Features) != n || len(x.DefaultLeft) != n || len(x.Types) != n {
		return fmt.Errorf("its lists have %d, %d, %d, %d, %d and %d values", n, len(x.Right), len(x.Conditions), len(x.Features), len(x.DefaultLeft), len(x.Types))
	}
	if v := x.Param.LeafVector; v != "0" && v != "1" {
		return fmt.Errorf("%w: its leaves hold %q values", ErrUnsupported, v)
	}
	sets, err := x.sets()
	if err != nil {
		return err
	}
	var bad error
	err = grow(t, 0, n, func(i int) (split, bool) {
		if i < 0 || i >= n {
			return split{}, false
		}
		if x.Left[i] == -1 {
			return split{decision: scoring.Leaf, feature: -1, value: float64(x.Conditions[i])}, true
		}
		s := split{decision: scoring.MissingRight, feature: int32(x.Features[i]), value: float64(x.Conditions[i]), left: x.Left[i], right: x.Right[i]}
		if x.Features[i] < 0 || x.Features[i] >= features {
			bad = fmt.Errorf("node %d splits on feature %d of %d", i, x.Features[i], features)
			return s, false
		}
		if x.Types[i] == 0 {
			if x.DefaultLeft[i] != 0 {
				s.decision = scoring.MissingLeft
			}
			return s, true
		}
		// XGBoost sends the categories of the set to the right: the children change sides.
		words, ok := sets[i]
		if !ok {
			bad = fmt.Errorf("node %d has no categories", i)
			return s, false
		}
		s.left, s.right = s.right, s.left
		s.decision, s.value = scoring.Category, keep(t, words)
		if x.DefaultLeft[i] == 0 {
			s.decision = scoring.CategoryMissingLeft
		}
		return s, true
	})
	if bad != nil {
		return bad
	}
	return err
}

// sets are the categories of every node that has some.
func (x *xgbTree) sets() (map[int][]uint32, error) {
	if len(x.CategorySegments) != len(x.CategoryNodes) || len(x.CategorySizes) != len(x.CategoryNodes) {
		return nil, fmt.Errorf("its categories have %d nodes, %d segments and %d sizes", len(x.CategoryNodes), len(x.CategorySegments), len(x.CategorySizes))
	}
	sets := make(map[int][]uint32, len(x.CategoryNodes))
	for i, node := range x.CategoryNodes {
		from, size := x.CategorySegments[i], x.CategorySizes[i]
		if from < 0 || size < 0 || from > len(x.Categories) || size > len(x.Categories)-from {
			return nil, fmt.Errorf("node %d has %d categories from %d of %d", node, size, from, len(x.Categories))
		}
		var words []uint32
		for _, c := range x.Categories[from : from+size] {
			if c < 0 || c > maxCategory {
				return nil, fmt.Errorf("%w: category %d, above %d", ErrUnsupported, c, maxCategory)
			}
			for len(words) <= c/32 {
				words = append(words, 0)
			}
			words[c/32] |= 1 << (c % 32)
		}
		sets[node] = words
	}
	return sets, nil
}

package trees

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/droplift/droplift/models/scoring"
)

func small(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", "golden", name+".model"))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// The models that are kept hold every decision there is, with features and float32 or not, so that TestGolden is about all.
func TestGoldenHoldsEveryDecision(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join("testdata", "golden", "*.model"))
	seen := map[string]bool{}
	for _, file := range files {
		m, err := Import(small(t, strings.TrimSuffix(filepath.Base(file), ".model")), letters, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.Trees.Decisions {
			seen[m.Kind+" "+m.Trees.Decisions[i:i+1]] = true
		}
	}
	for kind, decisions := range map[string]string{"lightgbm": ".lrLRc", "xgboost": ".lrcC"} {
		for _, d := range decisions {
			if !seen[kind+" "+string(d)] {
				t.Errorf("no model of %s has the decision %c", kind, d)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"lightgbm", "xgboost"} {
		file := bytes.ReplaceAll(small(t, name), []byte("f3"), []byte("gone"))
		if _, err := Import(file, letters, nil); !errors.Is(err, ErrFeatures) || !strings.Contains(err.Error(), `"gone"`) {
			t.Errorf("%s: %v", name, err)
		}
		m, err := Import(file, letters, map[string]string{"gone": "f3"})
		if err != nil || m.Names[3] != "f3" || m.Kind != name {
			t.Errorf("%s renamed: %v", name, err)
		}
		if _, err := Import(file, letters, map[string]string{"gone": "f4"}); !errors.Is(err, ErrFeatures) {
			t.Errorf("%s with two of a name: %v", name, err)
		}
	}
}

// What would be scored otherwise than by its trainer is refused by name.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		model, old, new string
		want            error
	}{
		{"lightgbm", "version=v4", "version=v3", ErrUnsupported},
		{"lightgbm", "objective=binary sigmoid:1", "objective=binary sigmoid:2", ErrUnsupported},
		{"lightgbm", "objective=binary sigmoid:1", "objective=regression", ErrUnsupported},
		{"lightgbm", "label_index=0", "label_index=0\naverage_output", ErrUnsupported},
		{"lightgbm", "num_class=1", "num_class=3", ErrUnsupported},
		{"lightgbm", "num_tree_per_iteration=1", "num_tree_per_iteration=3", ErrUnsupported},
		{"lightgbm", "is_linear=0", "is_linear=1", ErrUnsupported},
		{"lightgbm", "pandas_categorical:null", `pandas_categorical:[["a"]]`, ErrUnsupported},
		{"lightgbm", "Tree=3\n", "Tree=9\n", ErrMalformed},
		{"lightgbm", "max_feature_idx=7", "max_feature_idx=6", ErrMalformed},
		{"lightgbm", "end of trees", "end of tree", ErrMalformed},
		{"lightgbm", "split_feature=", "split_feature=99 ", ErrMalformed},
		{"lightgbm", "num_leaves=31", "num_leaves=30", ErrMalformed},
		{"lightgbm", "left_child=1 ", "left_child=0 ", ErrMalformed},
		{"lightgbm", "left_child=1 ", "left_child=77 ", ErrMalformed},
		{"lightgbm", "leaf_value=", "leaf_value=nan", ErrMalformed},
		{"lightgbm", "cat_boundaries=0 ", "cat_boundaries=5000 ", ErrMalformed},
		{"lightgbm", "tree\n", "bush\n", ErrMalformed},
		{"xgboost", `"name":"gbtree"`, `"name":"dart"`, ErrUnsupported},
		{"xgboost", `"name":"binary:logistic"`, `"name":"reg:squarederror"`, ErrUnsupported},
		{"xgboost", `"num_class":"0"`, `"num_class":"3"`, ErrUnsupported},
		{"xgboost", `"num_target":"1"`, `"num_target":"2"`, ErrUnsupported},
		{"xgboost", `"version":[3`, `"version":[4`, ErrUnsupported},
		{"xgboost", `"version":[3`, `"version":[1`, ErrUnsupported},
		{"xgboost", `"enc":[]`, `"enc":[{}]`, ErrUnsupported},
		{"xgboost", `"size_leaf_vector":"1"`, `"size_leaf_vector":"3"`, ErrUnsupported},
		{"xgboost", `"num_feature":"8"},"objective"`, `"num_feature":"9"},"objective"`, ErrFeatures},
		{"xgboost", `"feature_names":["f0","f1","f2","f3","f4","f5","f6","f7"]`, `"feature_names":[]`, ErrFeatures},
		{"xgboost", `"num_trees":"8"`, `"num_trees":"9"`, ErrMalformed},
		{"xgboost", `"base_score":"[`, `"base_score":"[-`, ErrMalformed},
		{"xgboost", `"left_children":[1,`, `"left_children":[0,`, ErrMalformed},
		{"xgboost", `"left_children":[1,`, `"left_children":[9999,`, ErrMalformed},
		{"xgboost", `"split_indices":[`, `"split_indices":[0,`, ErrMalformed},
		{"xgboost", `"categories_segments":[0`, `"categories_segments":[99999`, ErrMalformed},
	} {
		file := small(t, c.model)
		changed := bytes.Replace(file, []byte(c.old), []byte(c.new), 1)
		if c.old == `"num_feature":"8"},"objective"` {
			changed = bytes.Replace(file, []byte(`"num_class":"0","num_feature":"8"`), []byte(`"num_class":"0","num_feature":"9"`), 1)
		}
		if bytes.Equal(changed, file) {
			t.Errorf("%s holds no %s", c.model, c.old)
			continue
		}
		if _, err := Import(changed, letters, nil); !errors.Is(err, c.want) {
			t.Errorf("%s with %s: %v, want %v", c.model, c.new, err, c.want)
		}
	}
	for text, want := range map[string]error{"": ErrMalformed, "{": ErrMalformed, `{"learner":{}}`: ErrMalformed, "{L\x00": ErrUnsupported, "tree\n": ErrUnsupported} {
		if _, err := Import([]byte(text), letters, nil); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

// A file that was cut off anywhere before its last tree's end is refused.
func TestPrefixes(t *testing.T) {
	for _, name := range []string{"lightgbm_stump", "lightgbm", "xgboost"} {
		file := small(t, name)
		whole := len(bytes.TrimSpace(file))
		if end := bytes.Index(file, []byte("end of trees\n")); end > 0 {
			whole = end + len("end of trees\n")
		}
		for i := 0; i < whole; i += 1 + whole/2000 {
			if _, err := Import(file[:i], letters, nil); err == nil {
				t.Fatalf("%s: a prefix of %d bytes of %d was imported", name, i, len(file))
			}
		}
	}
}

// FuzzImport: whatever a file says, an import ends, and what it gives can be sealed and scored.
func FuzzImport(f *testing.F) {
	f.Add(small(f, "lightgbm_stump"))
	f.Add(firstOfLightGBM(f))
	f.Add(firstOfXGBoost(f))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := Import(file, letters, nil)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrFeatures) {
				t.Fatalf("an error without a name: %v", err)
			}
			return
		}
		a := &scoring.Artefact{Name: "m", Version: "m-1", Kind: m.Kind, Trees: m.Trees, Features: scoring.Contract{Hash: letters.Hash(), Names: m.Names}}
		if _, err := json.Marshal(a); err != nil {
			t.Fatal(err)
		}
		// Without golden rows nothing opens; that the trees are sound is judged before.
		if _, err := scoring.Seal(a, letters); !errors.Is(err, scoring.ErrGolden) && !errors.Is(err, scoring.ErrTooLarge) {
			t.Fatal(err)
		}
	})
}

// firstOfLightGBM is a model of one tree: the fuzzer is slow with long files.
func firstOfLightGBM(f *testing.F) []byte {
	file := small(f, "lightgbm")
	head, rest, _ := bytes.Cut(file, []byte("\nTree="))
	head, _, _ = bytes.Cut(head, []byte("\ntree_sizes="))
	tree, _, _ := bytes.Cut(rest, []byte("\nTree="))
	return sound(f, fmt.Appendf(nil, "%s\ntree_sizes=1\n\nTree=%s\nend of trees\n", head, tree))
}

func firstOfXGBoost(f *testing.F) []byte {
	var model map[string]any
	if err := json.Unmarshal(small(f, "xgboost"), &model); err != nil {
		f.Fatal(err)
	}
	inner := model["learner"].(map[string]any)["gradient_booster"].(map[string]any)["model"].(map[string]any)
	inner["trees"] = inner["trees"].([]any)[:1]
	inner["gbtree_model_param"].(map[string]any)["num_trees"] = "1"
	file, err := json.Marshal(model)
	if err != nil {
		f.Fatal(err)
	}
	return sound(f, file)
}

func sound(f *testing.F, file []byte) []byte {
	if _, err := Import(file, letters, nil); err != nil {
		f.Fatal(err)
	}
	return file
}

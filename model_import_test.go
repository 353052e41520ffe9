package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Models of the real trainers come in as artefacts that can be published; what would be scored otherwise does not.
func TestModelImport(t *testing.T) {
	cli := &terminal{t: t}
	golden := filepath.Join("models", "trees", "testdata", "golden")
	rename := "f0=sessions_1h,f1=sessions_24h,f2=sessions_7d,f3=sessions_28d,f4=landings_1h,f5=landings_24h,f6=landings_7d,f7=landings_28d"
	for kind, name := range map[string]string{"lightgbm": "lightgbm_full", "xgboost": "xgboost"} {
		models, err := filepath.Glob(filepath.Join(golden, name+"*.model"))
		if err != nil || len(models) == 0 {
			t.Fatalf("no model %s in %s: %v", name, golden, err)
		}
		model := models[0]
		rows := model[:len(model)-len(".model")] + ".rows"
		out := filepath.Join(t.TempDir(), kind+".json")
		flags := []string{"model", "import", "--" + kind, model, "--rename", rename, "--trained-to", "2026-05-01T00:00:00Z", "-o", out}
		cli.refused(1, []string{"1000 are needed"}, append(flags, "--golden", rows)...)
		cli.ok(append(flags, "--golden", rows, "--least-rows", "10")...)
		_, scorer, err := openArtefact(out)
		if err != nil {
			t.Fatal(err)
		}
		if a := scorer.Artefact(); a.Kind != kind || a.Trees == nil || len(a.Golden) == 0 || len(a.Golden) > keptGolden || a.Training.To == 0 {
			t.Errorf("%s: kind %s, %d golden rows, trained to %d", kind, a.Kind, len(a.Golden), a.Training.To)
		}
		if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file: %v, %v", info, err)
		}
		content, err := os.ReadFile(rows)
		if err != nil {
			t.Fatal(err)
		}
		wrong := bytes.Replace(content, []byte(`"raw": `), []byte(`"raw": 7, "was": `), 1)
		if bytes.Equal(wrong, content) {
			t.Fatal("no row was changed")
		}
		cli.refused(1, []string{"golden rows"}, append(flags, "--least-rows", "10", "--golden", writeBytes(t, "wrong.rows", wrong))...)
		cli.refused(1, []string{"holds no row"}, append(flags, "--least-rows", "10", "--golden", writeBytes(t, "none.rows", nil))...)
		cli.refused(1, []string{"line 1"}, append(flags, "--least-rows", "10", "--golden", writeBytes(t, "bad.rows", []byte("{")))...)
		cli.refused(1, []string{"features"}, "model", "import", "--"+kind, model, "--trained-to", "2026-05-01T00:00:00Z", "--golden", rows)
	}
}

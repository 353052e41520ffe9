package viewer

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

// The committed page is what its sources make, byte for byte.
func TestPageIsBuiltFromItsSources(t *testing.T) {
	if _, err := os.Stat("web/node_modules"); err != nil {
		embeddedtest.Missing(t, "web", "make web fetches what the page is built with: "+err.Error())
	}
	built := t.TempDir()
	build := exec.Command("npm", "run", "build", "--", "--outDir", built, "--emptyOutDir")
	build.Dir = "web"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files := func(dir string) (names []string) {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				name, _ := filepath.Rel(dir, path)
				names = append(names, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	want, got := files(built), files("web/dist")
	if !slices.Equal(got, want) || len(want) < 3 {
		t.Fatalf("web/dist holds %v, a build makes %v: make page", got, want)
	}
	for _, name := range want {
		a, errA := os.ReadFile(filepath.Join(built, name))
		b, errB := os.ReadFile(filepath.Join("web/dist", name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("web/dist/%s is not what a build makes (%v, %v): make page", name, errA, errB)
		}
	}
}

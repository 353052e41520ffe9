// Package statetest holds codecs to what they wrote before: every version of a
// state has a file of samples, which is read for ever, and a layout does not change without a new
// version. The files are
//
//	testdata/state/<name>-v<version>.golden
//
// with two lines a sample: its bytes in hexadecimal, and what they mean. -update rewrites the
// newest version's files only, and is for the commit that counts a version up.
package statetest

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/droplift/droplift/processors"
)

// Kind is one kind of encoded state.
type Kind struct {
	// Name of the golden files.
	Name string
	// Newest version, which Samples are in.
	Newest byte
	// Samples are encoded states, the same on every run.
	Samples [][]byte
	// Read says what data means, in one line, and how it is written today.
	Read func(data []byte) (meaning string, again []byte, err error)
}

// ReadWith is a Kind's Read for a codec whose states say what they mean when printed.
func ReadWith[S any](codec processors.Codec[S]) func(data []byte) (meaning string, again []byte, err error) {
	return func(data []byte) (string, []byte, error) {
		var s S
		err := codec.Decode(data, &s)
		return fmt.Sprintf("%+v", s), codec.Append(nil, &s), err
	}
}

// Check compares every version of a kind with its file.
func Check(t *testing.T, k Kind) {
	t.Helper()
	for version := byte(1); version <= k.Newest; version++ {
		file := filepath.Join("testdata", "state", fmt.Sprintf("%s-v%d.golden", k.Name, version))
		if version == k.Newest && updating() {
			k.write(t, file)
		}
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v (write it with -update)", err)
		}
		lines := strings.Split(strings.TrimSuffix(string(golden), "\n"), "\n")
		if len(lines) < 2 || len(lines)%2 != 0 {
			t.Fatalf("%s: %d lines", file, len(lines))
		}
		for i := 0; i < len(lines); i += 2 {
			data, err := hex.DecodeString(lines[i])
			if err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
			meaning, again, err := k.Read(data)
			if err != nil {
				t.Errorf("%s:%d: %v", file, i+1, err)
				continue
			}
			if meaning != lines[i+1] {
				t.Errorf("%s:%d: is read as\n%s\nbut was written as\n%s", file, i+2, meaning, lines[i+1])
			}
			if version == k.Newest && hex.EncodeToString(again) != lines[i] {
				t.Errorf("%s:%d: is now written as\n%x\nin the same version", file, i+1, again)
			}
		}
	}
	for _, sample := range k.Samples {
		future := append([]byte{k.Newest + 1}, sample[1:]...)
		var unknown *processors.VersionError
		if _, _, err := k.Read(future); !errors.As(err, &unknown) || unknown.Version != k.Newest+1 || !strings.Contains(err.Error(), "a newer droplift wrote it") {
			t.Errorf("%s in a version to come: %v", k.Name, err)
		}
	}
}

func (k Kind) write(t *testing.T, file string) {
	t.Helper()
	var out strings.Builder
	for _, data := range k.Samples {
		meaning, _, err := k.Read(data)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%x\n%s\n", data, meaning)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(out.String()), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// updating is the -update flag of the timelines, which the tests of every rule set have.
func updating() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

package wire

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/droplift/droplift/processors"
)

func TestStateIsReadAsItWasWritten(t *testing.T) {
	data := binary.AppendVarint(AppendFloat(AppendString([]byte{1}, "fra|2"), -0.25), -7)
	read := func(data []byte) (string, float64, int64, error) {
		r, _ := NewReader(data, 1)
		s, f, n := string(r.Bytes()), r.Float(), r.Signed()
		return s, f, n, r.Done()
	}
	if s, f, n, err := read(data); s != "fra|2" || f != -0.25 || n != -7 || err != nil {
		t.Errorf("read %q, %v, %d, %v", s, f, n, err)
	}
	for cut := range data {
		if _, _, _, err := read(data[:cut]); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a state", cut, len(data))
		}
	}
	if _, _, _, err := read(append(data, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte left over: %v", err)
	}
	var version *processors.VersionError
	if _, _, _, err := read([]byte{2}); !errors.As(err, &version) {
		t.Errorf("a newer version: %v", err)
	}
}

func TestKeysComeApart(t *testing.T) {
	key := AppendString(AppendString(nil, ""), "a|b")
	first, rest := CutString(string(key))
	second, rest := CutString(rest)
	if first != "" || second != "a|b" || rest != "" {
		t.Errorf("%q came apart as %q, %q and %q", key, first, second, rest)
	}
	if got := string(append(AppendPart(AppendPart(nil, `a|\b`), ""), "7"...)); got != `a\|\\b||7` {
		t.Errorf("record key %q", got)
	}
}

package event

import (
	"bytes"
	"testing"
)

func TestArtefacts(t *testing.T) {
	file := []byte(`{"format":1,"name":"churn"}`)
	m := Model{Artefact: PackArtefact(file)}
	if got, err := m.File(); err != nil || !bytes.Equal(got, file) {
		t.Errorf("%q, %v", got, err)
	}
	for cut := range len(m.Artefact) {
		if got, err := (&Model{Artefact: m.Artefact[:cut]}).File(); err == nil {
			t.Errorf("%d bytes unpack to %q", cut, got)
		}
	}
	m.Artefact = PackArtefact(make([]byte, MaxArtefactBytes+1000))
	if got, err := m.File(); err != nil || len(got) != MaxArtefactBytes+1 {
		t.Errorf("a bomb unpacks to %d bytes, %v", len(got), err)
	}
}

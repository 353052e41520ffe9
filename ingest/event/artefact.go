package event

import (
	"bytes"
	"compress/gzip"
	"io"
)

// MaxArtefactBytes bounds a model's file: what unpacks to more is not a model but a bomb. Compressed, the file must fit one record.
const MaxArtefactBytes = 8 << 20

// PackArtefact compresses a model's file for Model.Artefact.
func PackArtefact(file []byte) []byte {
	var packed bytes.Buffer // whose writes cannot fail
	w := gzip.NewWriter(&packed)
	w.Write(file)
	w.Close()
	return packed.Bytes()
}

// File unpacks Artefact: of a file that is too large, MaxArtefactBytes and one byte more, so that its reader refuses it.
func (m *Model) File() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(m.Artefact))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, MaxArtefactBytes+1))
}

package main

import (
	"bytes"
	"io"
	"os"
	"strconv"

	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// main reads an artefact on the first line of its input and a row on each further one, and answers every row with a
// line. It ends with status 1, and the reason on stderr, when the artefact is not fit to score.
func main() {
	if err := run(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func run() error {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	file, rows, _ := bytes.Cut(input, []byte("\n"))
	scorer, err := scoring.Open(file, feature.Player)
	if err != nil {
		return err
	}
	row := make([]float64, scorer.Inputs())
	var out []byte
	for line := range bytes.Lines(rows) {
		out = answer(out, scorer, line, row)
	}
	_, err = os.Stdout.Write(out)
	return err
}

func answer(out []byte, scorer *scoring.Scorer, line []byte, row []float64) []byte {
	err := scoring.ReadRow(line, row)
	raw, p := scorer.Row(row)
	if err == nil && (raw-raw != 0 || p-p != 0) {
		err = scoring.ErrNotFinite
	}
	if err != nil {
		out = append(out, `{"error":`...)
		out = strconv.AppendQuoteToASCII(out, err.Error())
	} else {
		out = append(out, `{"raw":`...)
		out = strconv.AppendFloat(out, raw, 'g', -1, 64)
		out = append(out, `,"p":`...)
		out = strconv.AppendFloat(out, p, 'g', -1, 64)
	}
	return append(out, "}\n"...)
}

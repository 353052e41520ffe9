package main

import (
	"encoding/binary"
	"math"
	"syscall/js"

	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// edge is the model that scores. JavaScript calls from one thread.
type edge struct {
	scorer *scoring.Scorer
	row    []float64
	bytes  []byte
}

func main() {
	e := &edge{}
	js.Global().Set("dropliftOpen", js.FuncOf(func(_ js.Value, args []js.Value) any { return e.open(args) }))
	js.Global().Set("dropliftScore", js.FuncOf(func(_ js.Value, args []js.Value) any { return e.score(args) }))
	select {}
}

func refused(reason string) any { return map[string]any{"error": reason} }

// open takes an artefact's file as a Uint8Array and puts its model in place of the one before, which stays if this one
// is not fit to score.
func (e *edge) open(args []js.Value) any {
	if len(args) != 1 || !args[0].InstanceOf(js.Global().Get("Uint8Array")) {
		return refused("dropliftOpen takes a Uint8Array")
	}
	file := make([]byte, args[0].Length())
	js.CopyBytesToGo(file, args[0])
	scorer, err := scoring.Open(file, feature.Player)
	if err != nil {
		return refused(err.Error())
	}
	e.scorer = scorer
	e.row, e.bytes = make([]float64, scorer.Inputs()), make([]byte, 8*scorer.Inputs())
	a := scorer.Artefact()
	names := make([]any, len(a.Features.Names))
	for i, name := range a.Features.Names {
		names[i] = name
	}
	return map[string]any{"name": a.Name, "version": a.Version, "features": names}
}

// score takes a row as a Float64Array in the order of the model's features, with NaN for what is missing.
func (e *edge) score(args []js.Value) any {
	if e.scorer == nil {
		return refused("no model is open")
	}
	if len(args) != 1 || !args[0].InstanceOf(js.Global().Get("Float64Array")) || args[0].Length() != len(e.row) {
		return refused(scoring.ErrRow.Error())
	}
	// One copy instead of a call for every number.
	row := args[0]
	js.CopyBytesToGo(e.bytes, js.Global().Get("Uint8Array").New(row.Get("buffer"), row.Get("byteOffset"), row.Get("byteLength")))
	for i := range e.row {
		e.row[i] = math.Float64frombits(binary.LittleEndian.Uint64(e.bytes[8*i:]))
		if math.IsInf(e.row[i], 0) {
			return refused(scoring.ErrNotFinite.Error())
		}
	}
	raw, p := e.scorer.Row(e.row)
	if raw-raw != 0 || p-p != 0 {
		return refused(scoring.ErrNotFinite.Error())
	}
	return map[string]any{"raw": raw, "p": p}
}

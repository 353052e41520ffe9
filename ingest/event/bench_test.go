package event

import (
	"encoding/json"
	"strings"
	"testing"
)

// Every kind in the encoder's order, and a checkout as other writers send it.
func BenchmarkDecode(b *testing.B) {
	for _, kind := range Kinds() {
		b.Run(kind.String(), func(b *testing.B) { benchmarkDecode(b, kind, samples[kind]) })
	}
	b.Run("checkout-spaced", func(b *testing.B) {
		benchmarkDecode(b, KindCheckout, strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(samples[KindCheckout]))
	})
	b.Run("checkout-sorted", func(b *testing.B) {
		var v map[string]any
		if err := json.Unmarshal([]byte(samples[KindCheckout]), &v); err != nil {
			b.Fatal(err)
		}
		data, err := json.Marshal(v)
		if err != nil {
			b.Fatal(err)
		}
		benchmarkDecode(b, KindCheckout, string(data))
	})
}

func benchmarkDecode(b *testing.B, kind Kind, sample string) {
	to, data := newDestination(kind), []byte(sample)
	var d Decoder
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := to.decode(&d, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendCheckout(b *testing.B) {
	var d Decoder
	var ev Event
	if err := d.Decode(KindCheckout, []byte(samples[KindCheckout]), &ev); err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.SetBytes(int64(len(samples[KindCheckout])))
	b.ReportAllocs()
	for b.Loop() {
		dst = Append(dst[:0], &ev)
	}
}

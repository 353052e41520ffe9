package event

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// anyFeatures fills every number with one of few or many digits, or its usual value.
func anyFeatures(rng *rand.Rand) Features {
	f := Features{PlayerID: "p"}
	v := reflect.ValueOf(&f).Elem()
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Array:
			for i := range v.Len() {
				fill(v.Index(i))
			}
		case reflect.Uint8:
			v.SetUint(uint64(rng.IntN(2)))
		case reflect.Uint32:
			v.SetUint([]uint64{0, uint64(rng.IntN(100)), uint64(rng.Uint32()), math.MaxUint32}[rng.IntN(4)])
		case reflect.Uint64:
			v.SetUint([]uint64{0, rng.Uint64(), math.MaxUint64}[rng.IntN(3)])
		case reflect.Int64:
			v.SetInt([]int64{0, -1, rng.Int64(), math.MinInt64, math.MaxInt64}[rng.IntN(5)])
		case reflect.Float64:
			v.SetFloat([]float64{-1, 0, float64(rng.IntN(1000)), rng.NormFloat64(), math.MaxFloat64}[rng.IntN(5)])
		}
	}
	for i := range v.NumField() {
		fill(v.Field(i))
	}
	f.SpendCurrency = []string{"", "EUR", "JPY"}[rng.IntN(3)]
	return f
}

func TestPackedFeatures(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 11))
	var packed []byte
	for range 2000 {
		want := anyFeatures(rng)
		packed = want.AppendPacked(packed[:0])
		got := anyFeatures(rng)
		if !got.Unpack(string(packed)) || !reflect.DeepEqual(got, want) {
			t.Fatalf("packed and unpacked:\n%+v\n%+v", want, got)
		}
		for cut := range packed {
			if got.Unpack(string(packed[:cut])) {
				t.Fatalf("%d of %d bytes were taken for a whole record", cut, len(packed))
			}
		}
		if got.Unpack(string(packed) + "x") {
			t.Fatal("a record that goes on after its end was taken")
		}
	}
}

func FuzzUnpack(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		features := anyFeatures(rng)
		f.Add(string(features.AppendPacked(nil)))
	}
	f.Fuzz(func(t *testing.T, data string) {
		var got, again Features
		if got.Unpack(data) && (!again.Unpack(string(got.AppendPacked(nil))) || string(again.AppendPacked(nil)) != string(got.AppendPacked(nil))) {
			t.Errorf("%q unpacks to what does not survive packing", data)
		}
	})
}

func BenchmarkUnpackFeatures(b *testing.B) {
	var d Decoder
	var f Features
	if err := d.Features([]byte(samples[KindFeatures]), &f); err != nil {
		b.Fatal(err)
	}
	packed := string(f.AppendPacked(nil))
	b.ReportAllocs()
	for b.Loop() {
		if !f.Unpack(packed) {
			b.Fatal("cut short")
		}
	}
	b.ReportMetric(float64(len(packed)), "B/record")
}

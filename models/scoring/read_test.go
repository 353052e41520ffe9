package scoring

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// fill sets everything in v, so that no field of an artefact can be forgotten by its reader.
func fill(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rng, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(rng, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+rng.IntN(3), 3))
		for i := range v.Len() {
			fill(rng, v.Index(i))
		}
	case reflect.String:
		const letters = "aé\"\\\n\t\b\f\r\u2028<&>😀\x01/"
		for range rng.IntN(9) {
			v.SetString(v.String() + string([]rune(letters)[rng.IntN(len([]rune(letters)))]))
		}
	case reflect.Float64:
		v.SetFloat(math.Ldexp(rng.NormFloat64(), rng.IntN(300)-150))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(rng.Uint64()))
	case reflect.Int32:
		v.SetInt(int64(int32(rng.Uint32())))
	case reflect.Uint32:
		v.SetUint(uint64(rng.Uint32()))
	case reflect.Uint64:
		v.SetUint(rng.Uint64())
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic("no filling for " + v.Type().String())
	}
}

// The reader understands what encoding/json writes, in every field.
func TestReadsWhatIsWritten(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		var want, got Artefact
		fill(rng, reflect.ValueOf(&want).Elem())
		for _, marshal := range []func(any) ([]byte, error){json.Marshal, func(v any) ([]byte, error) { return json.MarshalIndent(v, " ", "\t") }} {
			text, err := marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			r := reader{data: text}
			got = Artefact{}
			r.artefact(&got)
			r.end()
			if r.err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%v\n%+v\n%+v\n%s", r.err, got, want, text)
			}
		}
	}
}

func TestReadRow(t *testing.T) {
	x := make([]float64, 4)
	if err := ReadRow([]byte(" [1, null,-2.5e3 , 0]\n"), x); err != nil || x[0] != 1 || x[1] == x[1] || x[2] != -2500 || x[3] != 0 {
		t.Errorf("%v, %v", x, err)
	}
	for _, text := range []string{
		"", "[", "[1,2,3]", "[1,2,3,4,5]", "[1,2,3,4", "[1,2,3,]", "[1 2,3,4]", "[01,2,3,4]", "[+1,2,3,4]", "[.5,2,3,4]", "[1.,2,3,4]", "[1e,2,3,4]", "[NaN,1,2,3]",
		"[1e999,2,3,4]", `["1",2,3,4]`, "[1,2,3,4]]", "[1,2,3,4] x", "{}", "null", "[nul,1,2,3]", "[-,1,2,3]",
	} {
		if err := ReadRow([]byte(text), x); !errors.Is(err, ErrRow) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	var a Artefact
	r := reader{data: []byte(`{"later":{"a":[1,{"b":null}],"c":"}"},"name":"m","other":[true,false,"x",-1.5e-7]}`)}
	if r.artefact(&a); r.err != nil || a.Name != "m" {
		t.Errorf("%+v, %v", a, r.err)
	}
	for _, text := range []string{`{"name":"m","name":"n"}`, `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, `{"x":tru}`, `{"name":"\u12"}`, `{"name":"\ud800"}`, `{"name":"\x"}`, "{\"name\":\"\n\"}", "{\"name\":\"\xff\"}"} {
		r := reader{data: []byte(text)}
		if r.artefact(&a); r.err == nil {
			t.Errorf("%s was read", text)
		}
	}
}

// FuzzRead holds the reader against encoding/json: what it accepts is JSON, and means the same.
func FuzzRead(f *testing.F) {
	file, err := Seal(linear(), features)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte(`{"format":1,"golden":[{"features":[null,1e-7]}],"trees":null,"x":{"y":[1,"\ud83d\ude00"]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var a, again Artefact
		r := reader{data: text}
		r.artefact(&a)
		r.end()
		if r.err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is no JSON", text)
		}
		written, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		r = reader{data: written}
		if r.artefact(&again); r.err != nil {
			t.Fatalf("%s: %v", written, r.err)
		}
		if twice, _ := json.Marshal(again); string(twice) != string(written) {
			t.Fatalf("%s became %s", written, twice)
		}
	})
}

// FuzzOpen resigns what the fuzzer makes, so that it comes past the checksum: nothing may panic, loop or score wildly.
func FuzzOpen(f *testing.F) {
	for _, a := range []*Artefact{linear(), ensemble(Trees{Decisions: "lr..C..", Feature: []int32{0, 1, -1, -1, 1, -1, -1},
		Value: []float64{1, 2, .1, .2, 0, .3, .4}, Sets: [][]uint32{{5}}})} {
		file, err := Seal(a, features)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if s, err := Open(file, features); err == nil {
			score(t, s)
		}
		var a Artefact
		r := reader{data: file}
		if r.artefact(&a); r.err != nil {
			return
		}
		a.Format, a.Features.Hash, a.Golden = Format, features.Hash(), nil
		if s, err := newScorer(&a, features); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrFeatures) && !errors.Is(err, ErrGolden) {
			t.Fatalf("%v, %v", s, err)
		}
		if a.Trees != nil {
			if forest, err := a.Trees.compile(2); err == nil {
				forest.raw([]float64{1, math.NaN()})
			}
		}
	})
}

func score(t *testing.T, s *Scorer) {
	p, err := s.Score(make([]float64, len(features.Features)), make([]float64, s.Inputs()))
	if err == nil && !(p >= 0 && p <= 1) {
		t.Fatalf("the probability is %v", p)
	}
}

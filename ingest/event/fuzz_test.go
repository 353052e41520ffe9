package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
)

func FuzzDecodePlayer(f *testing.F)        { fuzzDecode(f, KindPlayer) }
func FuzzDecodeLatency(f *testing.F)       { fuzzDecode(f, KindLatency) }
func FuzzDecodeCheckout(f *testing.F)      { fuzzDecode(f, KindCheckout) }
func FuzzDecodeSubtitle(f *testing.F)      { fuzzDecode(f, KindSubtitle) }
func FuzzDecodeDrop(f *testing.F)          { fuzzDecode(f, KindDrop) }
func FuzzDecodeFeatures(f *testing.F)      { fuzzDecode(f, KindFeatures) }
func FuzzDecodeVelocity(f *testing.F)      { fuzzDecode(f, KindVelocity) }
func FuzzDecodeInventory(f *testing.F)     { fuzzDecode(f, KindInventory) }
func FuzzDecodeDeadLetter(f *testing.F)    { fuzzDecode(f, KindDeadLetter) }
func FuzzDecodeLate(f *testing.F)          { fuzzDecode(f, KindLate) }
func FuzzDecodeEstimate(f *testing.F)      { fuzzDecode(f, KindEstimate) }
func FuzzDecodeProgress(f *testing.F)      { fuzzDecode(f, KindProgress) }
func FuzzDecodeDecision(f *testing.F)      { fuzzDecode(f, KindDecision) }
func FuzzDecodeAttribution(f *testing.F)   { fuzzDecode(f, KindAttribution) }
func FuzzDecodeLatencySketch(f *testing.F) { fuzzDecode(f, KindLatencySketch) }
func FuzzDecodeLocalization(f *testing.F)  { fuzzDecode(f, KindLocalization) }
func FuzzDecodeLedger(f *testing.F)        { fuzzDecode(f, KindLedger) }
func FuzzDecodePayable(f *testing.F)       { fuzzDecode(f, KindPayable) }
func FuzzDecodeSettlement(f *testing.F)    { fuzzDecode(f, KindSettlement) }
func FuzzDecodeEdgeCost(f *testing.F)      { fuzzDecode(f, KindEdgeCost) }
func FuzzDecodeExperimentArm(f *testing.F) { fuzzDecode(f, KindExperimentArm) }
func FuzzDecodeScore(f *testing.F)         { fuzzDecode(f, KindScore) }
func FuzzDecodeExample(f *testing.F)       { fuzzDecode(f, KindExample) }
func FuzzDecodeModel(f *testing.F)         { fuzzDecode(f, KindModel) }
func FuzzDecodeRollout(f *testing.F)       { fuzzDecode(f, KindRollout) }
func FuzzDecodeLifetime(f *testing.F)      { fuzzDecode(f, KindLifetime) }

func fuzzDecode(f *testing.F, kind Kind) {
	sample := samples[kind]
	f.Add([]byte(sample))
	f.Add([]byte(strings.NewReplacer(`":`, `" : `, `,"`, ",\n\t\"", `"e`, `"\u0065`).Replace(sample)))
	f.Add([]byte(strings.ReplaceAll(sample, "00", "é😀\\ud83d\\ude00\\n")))
	f.Add([]byte(strings.ReplaceAll(sample, ":1", ":1.0e0")))
	f.Add([]byte(strings.Replace(sample, "{", `{"x":[{"":[null,true,-1.5e-3]}],`, 1)))
	f.Add([]byte(sample[:len(sample)-1] + "," + sample[1:]))
	f.Fuzz(func(t *testing.T, data []byte) { checkDecode(t, kind, data) })
}

// syntax are the characters that JSON gives a meaning.
const syntax = "{}[],:\"\\ \n0123456789+-.eEtfnu"

// Damaged records, for runs without the fuzzer.
func TestDamagedRecords(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			r := newRand(t)
			accepted := 0
			for range rounds {
				data := []byte(samples[kind])
				for range 1 + r.IntN(3) {
					at := r.IntN(len(data))
					switch to := min(len(data), at+r.IntN(8)); r.IntN(4) {
					case 0:
						data[at] = byte(r.Uint32())
					case 1:
						data[at] = syntax[r.IntN(len(syntax))]
					case 2:
						data = append(data[:at:at], data[to:]...)
					case 3:
						data = append(data[:to:to], data[at:]...)
					}
				}
				if checkDecode(t, kind, data) {
					accepted++
				}
			}
			if accepted == 0 || accepted == rounds {
				t.Errorf("%d of %d accepted: the damage is none or too much", accepted, rounds)
			}
		})
	}
}

// checkDecode compares a decoder with encoding/json: on what is JSON at all,
// and on every field's value.
func checkDecode(t *testing.T, kind Kind, data []byte) (accepted bool) {
	var d Decoder
	to := newDestination(kind)
	original := bytes.Clone(data)
	err := to.decode(&d, data)
	if !bytes.Equal(data, original) {
		t.Fatal("decoding changed the data")
	}
	if err != nil {
		if err.Reason == ReasonNone || err.Offset < 0 || err.Offset > len(data) {
			t.Fatalf("%+v in %s", err, data)
		}
		if err.Reason == ReasonMalformed && wellFormed(data) {
			t.Fatalf("%v in a JSON object: %s", err, data)
		}
		return false
	}
	if !json.Valid(data) || !utf8.Valid(data) {
		t.Fatalf("accepted what is not JSON: %s", data)
	}
	for _, part := range to.parts() {
		compare(t, data, part)
	}
	encoded := to.append(nil)
	again := newDestination(kind)
	if err := again.decode(&d, encoded); err != nil {
		t.Fatalf("%v in its own encoding %s", err, encoded)
	}
	if twice := again.append(nil); !bytes.Equal(twice, encoded) {
		t.Fatalf("encoded\n%s\nand again\n%s", encoded, twice)
	}
	return true
}

var surrogate = regexp.MustCompile(`\\u[dD][89a-fA-F]`)

// wellFormed is one JSON object in UTF-8 of moderate depth. Escaped surrogates, which may stand
// alone, are not judged.
func wellFormed(data []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(data, &object) == nil && object != nil && utf8.Valid(data) && !surrogate.Match(data) &&
		bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) < maxDepth
}

// compare checks every field of a struct against what encoding/json reads from data.
func compare(t *testing.T, data []byte, v reflect.Value) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		t.Fatal(err)
	}
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("json")
		raw := members[name]
		if raw == nil || string(raw) == "null" {
			standard := ruleOf(v.Type().Field(i))["default"]
			if !v.Field(i).IsZero() && !(v.Field(i).Kind() == reflect.Slice && v.Field(i).Len() == 0) && fmt.Sprint(v.Field(i)) != standard {
				t.Fatalf("%s is absent, but decoded as %v", name, v.Field(i))
			}
			continue
		}
		compareValue(t, name, raw, v.Field(i))
	}
}

func compareValue(t *testing.T, name string, raw json.RawMessage, got reflect.Value) {
	differ := func(want any) { t.Fatalf("%s: %v, but encoding/json reads %v from %s", name, got, want, raw) }
	if got.Kind() == reflect.Slice && got.Type().Elem().Kind() != reflect.Uint8 || got.Kind() == reflect.Array && got.Type() != reflect.TypeFor[uuid.UUID]() {
		var elements []json.RawMessage
		if err := json.Unmarshal(raw, &elements); err != nil || len(elements) != got.Len() {
			differ(elements)
		}
		for i, element := range elements {
			if got.Index(i).Kind() == reflect.Struct {
				compare(t, element, got.Index(i))
			} else {
				compareValue(t, name, element, got.Index(i))
			}
		}
		return
	}
	switch v := got.Interface().(type) {
	case string, fmt.Stringer, []byte: // a name, a UUID, a base64 text
		var want string
		if err := json.Unmarshal(raw, &want); err != nil {
			differ(err)
		}
		text := ""
		switch v := v.(type) {
		case string:
			text = v
		case uuid.UUID:
			text, want = v.String(), strings.ToLower(want)
		case fmt.Stringer:
			text = v.String()
		case []byte:
			text = base64.StdEncoding.EncodeToString(v)
		}
		if text != want {
			differ(want)
		}
	case bool:
		if string(raw) != strconv.FormatBool(v) {
			differ(raw)
		}
	case float64:
		if want, _ := strconv.ParseFloat(string(raw), 64); v != want {
			differ(want)
		}
	default:
		if _, power, _ := strings.Cut(strings.ToLower(string(raw)), "e"); len(power) > 4 {
			return // math/big would take its time
		}
		want, ok := new(big.Rat).SetString(string(raw))
		if !ok || !want.IsInt() || want.Num().String() != fmt.Sprint(v) {
			differ(want)
		}
	}
}

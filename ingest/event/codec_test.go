package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// rounds of a randomised test, per kind.
const rounds = 400

func TestRoundTrip(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			r := newRand(t)
			var d Decoder
			reused := newDestination(kind)
			for range rounds {
				want, got := newDestination(kind), newDestination(kind)
				fill(r, want)
				data := want.append(nil)
				if !json.Valid(data) {
					t.Fatalf("not JSON: %s", data)
				}
				if err := got.decode(&d, data); err != nil {
					t.Fatalf("%v in %s", err, data)
				}
				if !reflect.DeepEqual(got.record, want.record) {
					t.Fatalf("decoded\n%+v\nfrom %s\nwant\n%+v", got.record, data, want.record)
				}
				if again := got.append(nil); !bytes.Equal(again, data) {
					t.Fatalf("encoded again\n%s\nwant\n%s", again, data)
				}
				// A destination that held another record decodes to the same.
				if err := reused.decode(&d, data); err != nil {
					t.Fatalf("%v in %s", err, data)
				}
				if again := reused.append(nil); !bytes.Equal(again, data) {
					t.Fatalf("reused destination encoded\n%s\nwant\n%s", again, data)
				}
			}
			if d.UnknownFields != 0 {
				t.Errorf("%d unknown fields in what the encoder wrote", d.UnknownFields)
			}
		})
	}
}

// Another writer's order, spacing and escapes must not matter.
func TestForeignEncoders(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			r := newRand(t)
			var d Decoder
			for range rounds {
				want, got := newDestination(kind), newDestination(kind)
				fill(r, want)
				canonical := want.append(nil)
				data := foreign(t, r, canonical)
				if err := got.decode(&d, data); err != nil {
					t.Fatalf("%v in %s", err, data)
				}
				if !reflect.DeepEqual(got.record, want.record) {
					t.Fatalf("decoded\n%+v\nfrom %s\nwant\n%+v", got.record, data, want.record)
				}
			}
		})
	}
}

// foreign writes the same JSON value with members in random order, random white space, any
// character of a string escaped or not, and now and then an unknown or a doubled member.
func foreign(t *testing.T, r *rand.Rand, data []byte) []byte {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return appendForeign(nil, r, v)
}

func appendForeign(dst []byte, r *rand.Rand, v any) []byte {
	gap := func() {
		for r.IntN(3) == 0 {
			dst = append(dst, " \t\r\n"[r.IntN(4)])
		}
	}
	gap()
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, '{')
		separator := ""
		member := func(name string, v any) {
			dst = append(dst, separator...)
			separator = ","
			gap()
			dst = appendForeign(dst, r, name)
			gap()
			dst = append(dst, ':')
			dst = appendForeign(dst, r, v)
		}
		for name, v := range v { // in random order
			if r.IntN(20) == 0 {
				member("zz_"+name, map[string]any{"a": []any{v, nil, true}, "": "\\"})
			}
			if r.IntN(20) == 0 {
				member(name, nil)
			}
			if r.IntN(20) == 0 {
				member(name, v)
			}
			member(name, v)
		}
		gap()
		dst = append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, v := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendForeign(dst, r, v)
		}
		gap()
		dst = append(dst, ']')
	case string:
		dst = append(dst, '"')
		for _, c := range v {
			switch {
			case c == '"' || c == '\\' || c == '/' && r.IntN(2) == 0:
				dst = append(dst, '\\', byte(c))
			case c >= 0x10000 && r.IntN(2) == 0:
				dst = fmt.Appendf(dst, `\u%04X\u%04x`, 0xd800+(c-0x10000)>>10, 0xdc00+(c-0x10000)&0x3ff)
			case c < ' ' || c < 0x10000 && r.IntN(40) == 0:
				dst = fmt.Appendf(dst, `\u%04x`, c)
			default:
				dst = append(dst, string(c)...)
			}
		}
		dst = append(dst, '"')
	default:
		encoded, _ := json.Marshal(v)
		dst = append(dst, encoded...)
	}
	gap()
	return dst
}

func TestEveryPrefixIsRefused(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			r := newRand(t)
			full := newDestination(kind)
			fill(r, full)
			for _, sample := range []string{samples[kind], string(foreign(t, r, full.append(nil)))} {
				sample = strings.TrimSpace(sample)
				var d Decoder
				to := newDestination(kind)
				for n := range len(sample) {
					// A buffer of its own: reading behind the end would be seen.
					prefix := append(make([]byte, 0, n), sample[:n]...)
					if err := to.decode(&d, prefix); err == nil || err.Reason != ReasonMalformed || err.Field != "" {
						t.Fatalf("the first %d bytes: %v, want malformed: %s", n, err, prefix)
					}
				}
				if err := to.decode(&d, []byte(sample)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		json string
		want uint64 // of revision, a uint64
		bad  Reason
	}{
		{"0", 0, 0},
		{"-0", 0, 0},
		{"-0.0e5", 0, 0},
		{"0e99999999999999999999", 0, 0},
		{"1.0", 1, 0},
		{"1e3", 1000, 0},
		{"1E+3", 1000, 0},
		{"1.5e1", 15, 0},
		{"1500e-2", 15, 0},
		{"0.0015e4", 15, 0},
		{"12345678", 12345678, 0},
		{"123456789012345678", 123456789012345678, 0},
		{"1234567890123456789", 1234567890123456789, 0},
		{"18446744073709551615", math.MaxUint64, 0},
		{"18446744073709551615.000", math.MaxUint64, 0},
		{"18446744073709551616", 0, ReasonOutOfRange},
		{"184467440737095516150", 0, ReasonOutOfRange},
		{"1e19", 1e19, 0},
		{"1e20", 0, ReasonOutOfRange},
		{"1e99999999999999999999", 0, ReasonOutOfRange},
		{"-1", 0, ReasonOutOfRange},
		{"1.5", 0, ReasonWrongType},
		{"1e-1", 0, ReasonWrongType},
		{"1e-99999999999999999999", 0, ReasonWrongType},
		{"100000000000000000000000.5", 0, ReasonWrongType},
		{"01", 0, ReasonMalformed},
		{"-", 0, ReasonMalformed},
		{"+1", 0, ReasonMalformed},
		{"1.", 0, ReasonMalformed},
		{".5", 0, ReasonMalformed},
		{"1e", 0, ReasonMalformed},
		{"1e+", 0, ReasonMalformed},
		{"1x", 0, ReasonMalformed},
		{"1 1", 0, ReasonMalformed},
		{"0x10", 0, ReasonMalformed},
		{"NaN", 0, ReasonMalformed},
	} {
		data := fmt.Sprintf(`{"player_id":"p","revision":%s,"as_of":1,"watermark":1,"maturity":"final"}`, c.json)
		var f Features
		err := new(Decoder).Features([]byte(data), &f)
		switch {
		case c.bad != 0 && (err == nil || err.Reason != c.bad):
			t.Errorf("%s: %v, want %v", c.json, err, c.bad)
		case c.bad == 0 && (err != nil || f.Revision != c.want):
			t.Errorf("%s: %d, %v, want %d", c.json, f.Revision, err, c.want)
		}
	}
}

func TestFloats(t *testing.T) {
	r := newRand(t)
	check := func(text string) {
		t.Helper()
		var want [NumWindows]float64
		if err := json.Unmarshal([]byte("["+text+",0,0,0]"), &want); err != nil {
			t.Fatal(err)
		}
		var f Features
		data := fmt.Sprintf(`{"player_id":"p","revision":1,"as_of":1,"watermark":1,"maturity":"final","latency_mean_ms":[%s,0,0,0]}`, text)
		if err := new(Decoder).Features([]byte(data), &f); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if f.LatencyMeanMS != want {
			t.Fatalf("%s: %v, want %v", text, f.LatencyMeanMS[0], want[0])
		}
	}
	for _, text := range []string{"0", "-0", "0.1", "0.30000000000000004", "123456789012345", "999999999999999.9", "9007199254740993",
		"1e308", "1.7976931348623157e308", "5e-324", "1e-400", "123456.789e-3", "0.000000000000001", "-1.5", "1E5"} {
		check(text)
	}
	for range rounds {
		f := float(r)
		for _, format := range []string{"%.3f", "%.12f", "%e", "%.17g"} {
			check(fmt.Sprintf(format, f))
		}
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := string(appendFloat(nil, f)); got != "null" {
			t.Errorf("%v is written as %s", f, got)
		}
	}
}

func TestUnknownFieldsAreCounted(t *testing.T) {
	data := strings.Replace(samples[KindDrop], `{"version":1,`, `{"colour":{"a":[1,{"b":null}]},"version":1,`, 1)
	data = strings.Replace(data, `"name":`, `"Name":"case matters","":0,"na\u006de":`, 1)
	var d Decoder
	var ev Event
	for round := range uint64(2) {
		if err := d.Decode(KindDrop, []byte(data), &ev); err != nil {
			t.Fatal(err)
		}
		if want := 3 * (round + 1); d.UnknownFields != want {
			t.Errorf("%d unknown fields, want %d", d.UnknownFields, want)
		}
	}
	if ev.Drop.Name != "Aurora" {
		t.Errorf("name %q: an escaped name is the same name", ev.Drop.Name)
	}
}

func TestLastOfEqualNamesWins(t *testing.T) {
	data := strings.Replace(samples[KindCheckout], `"amount":4999`, `"amount":1,"sku":"other","quantity":null,"amount":4999`, 1)
	var ev Event
	if err := new(Decoder).Decode(KindCheckout, []byte(data), &ev); err != nil {
		t.Fatal(err)
	}
	if got := string(Append(nil, &ev)); got != samples[KindCheckout] {
		t.Errorf("got %s", got)
	}
	// A null takes back what came before it.
	data = strings.Replace(data, `"channel"`, `"quantity":null,"currency":null,"channel"`, 1)
	err := new(Decoder).Decode(KindCheckout, []byte(data), &ev)
	if err == nil || err.Reason != ReasonMissingField || err.Field != "currency" || ev.Checkout.Quantity != 1 {
		t.Errorf("%v and quantity %d, want currency missing and quantity 1", err, ev.Checkout.Quantity)
	}
}

func TestResetLeavesNothingBehind(t *testing.T) {
	r := newRand(t)
	var d Decoder
	var ev Event
	for range rounds {
		kind := RawKinds()[r.IntN(len(RawKinds()))]
		want := newDestination(kind)
		fill(r, want)
		data := want.append(nil)
		if err := d.Decode(kind, data, &ev); err != nil {
			t.Fatal(err)
		}
		fresh := ev.Clone() // of the fields that are meaningful
		if !reflect.DeepEqual(&fresh, want.record) {
			t.Fatalf("got\n%+v\nwant\n%+v", fresh, want.record)
		}
		ev.Reset(kind)
		empty := newDestination(kind).record.(*Event)
		ev.Drop.Splits, ev.Drop.Items, ev.Drop.Experiments, ev.Drop.Forecast, ev.Score.Vector = nil, nil, nil, nil, nil
		if !reflect.DeepEqual(&ev, empty) {
			t.Fatalf("after Reset\n%+v\nwant\n%+v", ev, *empty)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	r := newRand(t)
	for _, kind := range RawKinds() {
		for range rounds / 10 {
			want := newDestination(kind)
			fill(r, want)
			data := want.append(nil)
			var ev Event
			if err := new(Decoder).Decode(kind, data, &ev); err != nil {
				t.Fatal(err)
			}
			c := ev.Clone()
			for i := range data {
				data[i] = 'x'
			}
			for i := range ev.Drop.Splits {
				clear(ev.Drop.Splits[i].Shares)
			}
			for i := range ev.Drop.Experiments {
				clear(ev.Drop.Experiments[i].Variants)
			}
			clear(ev.Drop.Splits)
			clear(ev.Drop.Items)
			clear(ev.Drop.Experiments)
			if !reflect.DeepEqual(&c, want.record) {
				t.Fatalf("clone changed with the original: %+v", c)
			}
		}
	}
}

// Strings with escapes cannot alias the data; they must stay as they are while the Decoder goes on.
func TestEscapedStringsStay(t *testing.T) {
	var d Decoder
	var kept []string
	for i := range 3000 {
		data := strings.Replace(samples[KindPlayer], `"sku":"`, fmt.Sprintf(`"sku":"\u0041%d-`, i), 1)
		var ev Event
		if err := d.Decode(KindPlayer, []byte(data), &ev); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, ev.Player.SKU)
	}
	for i, sku := range kept {
		if want := fmt.Sprintf("A%d-aurora-print-signed-a2", i); sku != want {
			t.Fatalf("record %d: %q, want %q", i, sku, want)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	for _, kind := range Kinds() {
		var d Decoder
		to := newDestination(kind)
		data := []byte(samples[kind])
		buffer := make([]byte, 0, 2*len(data))
		allocations := testing.AllocsPerRun(100, func() {
			if err := to.decode(&d, data); err != nil {
				t.Fatal(err)
			}
			buffer = to.append(buffer[:0])
		})
		if allocations != 0 {
			t.Errorf("%s: %v allocations for decoding into a used destination and encoding", kind, allocations)
		}
	}
	// Nor does a refusal cost one: a stream of bad records must not cost more than good ones.
	var d Decoder
	var ev Event
	bad := []byte(strings.Replace(samples[KindCheckout], `"EUR"`, `"EUX"`, 1))
	if n := testing.AllocsPerRun(100, func() { d.Decode(KindCheckout, bad, &ev) }); n != 0 {
		t.Errorf("%v allocations for a refusal", n)
	}
}

func TestUUIDText(t *testing.T) {
	upper := strings.Replace(samples[KindPlayer], "01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4", "01979A6E-5B1C-7D40-9A3F-2C61F0B7E8D4", 1)
	var ev Event
	if err := new(Decoder).Decode(KindPlayer, []byte(upper), &ev); err != nil {
		t.Fatal(err)
	}
	if want := uuid.MustParse("01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4"); ev.ID != want {
		t.Errorf("id %s, want %s", ev.ID, want)
	}
	if got := string(Append(nil, &ev)); got != samples[KindPlayer] {
		t.Errorf("%s is not written in lower case", got)
	}
}

// What no decoder would accept is written all the same, so that it can be looked at.
func TestAppendReplacesInvalidUTF8(t *testing.T) {
	var ev Event
	ev.Reset(KindPlayer)
	ev.SessionID = "a\xffb\xc3"
	if got := string(Append(nil, &ev)); !strings.Contains(got, `"session_id":"a`+"\ufffdb\ufffd"+`"`) {
		t.Errorf("got %q", got)
	}
	if got := Append(nil, &Event{Kind: KindFeatures}); got != nil {
		t.Errorf("an event of a derived kind appends %q", got)
	}
}

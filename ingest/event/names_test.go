package event

import (
	"fmt"
	"slices"
	"testing"

	"github.com/bojanz/currency"
)

func TestTopics(t *testing.T) {
	want := []string{"player", "latency", "checkout", "subtitle", "drop", "features", "velocity", "dead-letter", "late", "estimate", "decision", "progress", "inventory", "attribution", "latency-sketch", "localization", "ledger", "payable", "settlement", "edge-cost", "experiment-arm", "score", "example", "model", "rollout", "lifetime"}
	var got []string
	for _, kind := range Kinds() {
		got = append(got, kind.Topic())
		if KindOf(kind.Topic()) != kind {
			t.Errorf("%v is not the kind of its topic", kind)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("topics %v, want %v", got, want)
	}
	if got := KindOf("other"); got != KindUnknown || got.Topic() != "" || got.String() != "unknown" {
		t.Errorf("a foreign topic is of kind %v", got)
	}
	if raw := RawKinds(); !slices.Equal(raw, append(Kinds()[:5:5], KindScore)) {
		t.Errorf("raw kinds %v", raw)
	}
}

func TestTypes(t *testing.T) {
	for kind, want := range map[Kind]string{
		KindPlayer:   "[session_start heartbeat session_end landing_view offer_impression offer_click cta_exposure]",
		KindLatency:  "[edge_request]",
		KindCheckout: "[started completed failed refunded chargeback settled fulfilled shipped]",
		KindSubtitle: "[cue]",
		KindDrop:     "[catalogue]",
		KindScore:    "[answered]",
		KindFeatures: "[]",
	} {
		if got := fmt.Sprint(kind.Types()); got != want {
			t.Errorf("%v: %s, want %s", kind, got, want)
		}
		for _, typ := range kind.Types() {
			for _, other := range Kinds() {
				if got := other.TypeOf(typ.String()); (got == typ) != (other == kind) {
					t.Errorf("%v of kind %v is %v", typ, other, got)
				}
			}
		}
	}
}

func TestEnumerations(t *testing.T) {
	checkNames(t, Requests(), RequestOf, "[landing manifest segment api asset checkout probe]")
	checkNames(t, CacheStatuses(), CacheStatusOf, "[hit miss stale bypass]")
	checkNames(t, Maturities(), MaturityOf, "[provisional final]")
	checkNames(t, Reasons(), ReasonOf, "[malformed wrong_type missing_field unknown_type unknown_enum out_of_range bad_id unknown_currency "+
		"amount_precision split_shares drop_times too_large unknown_drop clock too_long poison]")
	if got := RequestUnknown.String() + CacheUnknown.String() + TypeUnknown.String() + ReasonNone.String(); got != "" {
		t.Errorf("unknown values have the name %q", got)
	}
}

func checkNames[E interface {
	comparable
	fmt.Stringer
}](t *testing.T, values []E, of func(string) (E, bool), want string) {
	t.Helper()
	if got := fmt.Sprint(values); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, v := range values {
		if got, ok := of(v.String()); !ok || got != v {
			t.Errorf("%v reads back as %v, %v", v, got, ok)
		}
	}
	for _, name := range []string{"", "other"} {
		if got, ok := of(name); ok {
			t.Errorf("%q reads as %v", name, got)
		}
	}
}

func TestCurrencyDigits(t *testing.T) {
	for code, want := range map[string]int{"USD": 2, "EUR": 2, "JPY": 0, "UGX": 0, "ISK": 0, "KWD": 3, "BHD": 3, "CLF": 4, "UYW": 4, "MGA": 2, "CLP": 0, "MRU": 2} {
		if got, ok := CurrencyDigits(code); !ok || got != want {
			t.Errorf("%s: %d, %v, want %d", code, got, ok, want)
		}
	}
	for _, code := range []string{"", "EU", "EURO", "eur", "E R", "XXX", "ZZZ", "DEM", "é1", "[[[", "@@@"} {
		if got, ok := CurrencyDigits(code); ok {
			t.Errorf("%q has %d digits", code, got)
		}
	}
	// The table is the library's, whole and nothing else.
	codes := 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			for c := 'A'; c <= 'Z'; c++ {
				code := string([]rune{a, b, c})
				got, ok := CurrencyDigits(code)
				want, known := currency.GetDigits(code)
				if ok != known || got != int(want) {
					t.Errorf("%s: %d, %v, want %d, %v", code, got, ok, want, known)
				}
				if ok {
					codes++
				}
			}
		}
	}
	if codes != len(currency.GetCurrencyCodes()) {
		t.Errorf("%d codes, want %d", codes, len(currency.GetCurrencyCodes()))
	}
}

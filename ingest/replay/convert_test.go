package replay

import (
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"

	"github.com/droplift/droplift/ingest/event"
)

func TestDecimalToMinor(t *testing.T) {
	precision := event.ReasonAmountPrecision.String()
	tooLarge := event.ReasonOutOfRange.String()
	tolerance := apd.New(1, -6)
	for _, test := range []struct {
		text, currency string
		tolerance      *apd.Decimal
		minor          int64
		residue        bool
		reason         string
	}{
		{text: "12.34", currency: "USD", minor: 1234},
		{text: "12.3", currency: "USD", minor: 1230},
		{text: "12", currency: "USD", minor: 1200},
		{text: "12.", currency: "USD", minor: 1200},
		{text: ".5", currency: "USD", minor: 50},
		{text: "+12.34", currency: "USD", minor: 1234},
		{text: "-12.34", currency: "USD", minor: -1234},
		{text: "-0.00", currency: "USD", minor: 0},
		{text: "0012.3400", currency: "USD", minor: 1234},
		// 1.15 and 4.35 are not what a float holds: through one they would be 114 and 434.
		{text: "1.15", currency: "USD", minor: 115},
		{text: "4.35", currency: "USD", minor: 435},
		{text: "12.345", currency: "USD", reason: precision},
		{text: "12.345", currency: "KWD", minor: 12345},
		{text: "12.3456", currency: "KWD", reason: precision},
		{text: "100", currency: "JPY", minor: 100},
		{text: "100.0", currency: "JPY", minor: 100},
		{text: "100.5", currency: "JPY", reason: precision},
		{text: "1.0001", currency: "UYW", minor: 10001},
		{text: "1.0001", currency: "CLF", minor: 10001},
		{text: "7", currency: "UGX", minor: 7},
		{text: "1e3", currency: "USD", minor: 100_000},
		{text: "1.234E1", currency: "USD", minor: 1234},
		{text: "12345e-3", currency: "USD", reason: precision},
		{text: "12340e-3", currency: "USD", minor: 1234},
		{text: "0e-300", currency: "USD", minor: 0},
		{text: "4.440892e-16", currency: "USD", reason: precision},
		{text: "4.440892e-16", currency: "USD", tolerance: tolerance, minor: 0, residue: true},
		{text: "-4.440892e-16", currency: "USD", tolerance: tolerance, minor: 0, residue: true},
		{text: "0.30000000000000004", currency: "USD", tolerance: tolerance, minor: 30, residue: true},
		{text: "0.29999999999999999", currency: "USD", tolerance: tolerance, minor: 30, residue: true},
		{text: "-0.29999999999999999", currency: "USD", tolerance: tolerance, minor: -30, residue: true},
		{text: "0.300001", currency: "USD", tolerance: tolerance, minor: 30, residue: true},
		{text: "0.3000011", currency: "USD", tolerance: tolerance, reason: precision},
		{text: "0.305", currency: "USD", tolerance: tolerance, reason: precision},
		{text: "0.30", currency: "USD", tolerance: tolerance, minor: 30},
		{text: "92233720368547758.07", currency: "USD", minor: 1<<63 - 1},
		{text: "92233720368547758.08", currency: "USD", reason: tooLarge},
		{text: "-92233720368547758.08", currency: "USD", minor: -1 << 63},
		{text: "1e20", currency: "USD", reason: tooLarge},
		{text: "1e401", currency: "USD", reason: tooLarge},
		{text: "1e-401", currency: "USD", tolerance: tolerance, reason: tooLarge},
		{text: "1e999999999999", currency: "USD", reason: reasonNotANumber},
		{text: "", currency: "USD", reason: reasonNotANumber},
		{text: "NaN", currency: "USD", reason: reasonNotANumber},
		{text: "Infinity", currency: "USD", reason: reasonNotANumber},
		{text: "1,234.00", currency: "USD", reason: reasonNotANumber},
		{text: "$5", currency: "USD", reason: reasonNotANumber},
		{text: "0x10", currency: "USD", reason: reasonNotANumber},
		{text: "1_000", currency: "USD", reason: reasonNotANumber},
		{text: "1 000", currency: "USD", reason: reasonNotANumber},
		{text: "--1", currency: "USD", reason: reasonNotANumber},
		{text: "1e", currency: "USD", reason: reasonNotANumber},
		{text: "٣", currency: "USD", reason: reasonNotANumber},
		{text: strings.Repeat("1", maxDigits+1), currency: "USD", reason: reasonNotANumber},
	} {
		digits, ok := event.CurrencyDigits(test.currency)
		if !ok {
			t.Fatalf("no currency %s", test.currency)
		}
		minor, residue, problem := decimalToMinor(test.text, digits, test.tolerance)
		reason := ""
		if problem != nil {
			minor, reason = 0, problem.reason
		}
		if minor != test.minor || residue != test.residue || reason != test.reason {
			t.Errorf("%q %s: %d, residue %v, %q; expected %d, %v, %q", test.text, test.currency, minor, residue, reason, test.minor, test.residue, test.reason)
		}
	}
}

// FuzzDecimalToMinor compares with rational arithmetic.
func FuzzDecimalToMinor(f *testing.F) {
	for _, seed := range []string{"12.34", "-0.005", "1e3", "4.4e-16", "9223372036854775807", "1e-300", ".", "+.5e+2", "99999999999999999999.99"} {
		f.Add(seed, uint8(2))
	}
	f.Add("12.345", uint8(3))
	number := regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$`)
	f.Fuzz(func(t *testing.T, text string, digits uint8) {
		digits %= 5
		minor, residue, problem := decimalToMinor(text, int(digits), nil)
		if residue {
			t.Fatalf("%q has a residue without a tolerance", text)
		}
		exact, ok := new(big.Rat).SetString(text)
		if !number.MatchString(text) || !ok {
			// Longer exponents may still be numbers, of which only zero and out of range are decided.
			if problem == nil && minor != 0 {
				t.Fatalf("%q became %d", text, minor)
			}
			return
		}
		exact.Mul(exact, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)))
		if problem == nil {
			if exact.Cmp(new(big.Rat).SetInt64(minor)) != 0 {
				t.Fatalf("%q with %d digits became %d, not %s", text, digits, minor, exact)
			}
			return
		}
		switch problem.reason {
		case event.ReasonAmountPrecision.String():
			if exact.IsInt() {
				t.Fatalf("%q with %d digits is refused as too fine, but is %s", text, digits, exact)
			}
		case event.ReasonOutOfRange.String(), reasonNotANumber:
			if len(text) <= maxDigits && exact.IsInt() && exact.Num().IsInt64() && !strings.ContainsAny(text, "eE") {
				t.Fatalf("%q with %d digits is %s, and refused as %s", text, digits, exact, problem.reason)
			}
		default:
			t.Fatalf("%q is refused as %s", text, problem.reason)
		}
	})
}

func TestSecondsToMS(t *testing.T) {
	for text, want := range map[string]float64{"0.17": 170, "0.0005": 0.5, "1e-3": 1, "-2": -2000, "9.16": 9160} {
		v, problem := secondsToMS(text, false)
		if problem != nil {
			t.Fatalf("%s: %s", text, problem.detail)
		}
		if f, problem := parseFloat(v.text); problem != nil || f != want {
			t.Errorf("%s s are %s ms, not %g", text, v.text, want)
		}
	}
	for text, want := range map[string]int64{
		"29.8": 29800, "0.0005": 0, "0.0015": 2, "0.0025": 2, "0.00250001": 3, "-0.0015": -2, "0": 0,
	} {
		if v, problem := secondsToMS(text, true); problem != nil || !v.whole || v.n != want {
			t.Errorf("%s s are %d whole ms, not %d", text, v.n, want)
		}
	}
	if _, problem := secondsToMS("soon", true); problem == nil || problem.reason != reasonNotANumber {
		t.Error("soon is a number")
	}
	if _, problem := secondsToMS("1e300", true); problem == nil || problem.reason != event.ReasonOutOfRange.String() {
		t.Error("1e300 s fit into an int64")
	}
}

func TestTimes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		layout string
		zone   *time.Location
		text   string
		want   string
		reason string
	}{
		{layout: "20060102", zone: time.UTC, text: "19970101", want: "1997-01-01T00:00:00Z"},
		{layout: "2006-01-02 15:04:05", zone: berlin, text: "2024-07-01 00:30:00", want: "2024-06-30T22:30:00Z"},
		{layout: "2006-01-02 15:04:05", zone: berlin, text: "2024-01-01 00:30:00.9999", want: "2023-12-31T23:30:00.999Z"},
		{layout: layoutRFC3339, zone: berlin, text: "2024-07-01T00:30:00.25-05:00", want: "2024-07-01T05:30:00.25Z"},
		{layout: layoutUnixS, zone: time.UTC, text: "1700000000.0019", want: "2023-11-14T22:13:20.001Z"},
		{layout: layoutUnixS, zone: time.UTC, text: "-0.0001", want: "1969-12-31T23:59:59.999Z"},
		{layout: layoutUnixMS, zone: time.UTC, text: "1.7e12", want: "2023-11-14T22:13:20Z"},
		{layout: "20060102", zone: time.UTC, text: "19970229", reason: reasonBadTime},
		{layout: layoutRFC3339, zone: time.UTC, text: "2024-07-01", reason: reasonBadTime},
		{layout: layoutUnixMS, zone: time.UTC, text: "now", reason: reasonNotANumber},
		{layout: layoutUnixS, zone: time.UTC, text: "1e30", reason: event.ReasonOutOfRange.String()},
	} {
		c := clock{layout: test.layout, zone: test.zone}
		ms, problem := c.ms(test.text)
		got, reason := time.UnixMilli(ms).UTC().Format(time.RFC3339Nano), ""
		if problem != nil {
			got, reason = "", problem.reason
		}
		if got != test.want || reason != test.reason {
			t.Errorf("%q by %q is %q %q, not %q %q", test.text, test.layout, got, reason, test.want, test.reason)
		}
	}

	s := steps{start: time.UnixMilli(1000), step: 15_700 * time.Millisecond}
	for text, want := range map[string]int64{"0": 1000, "1": 16_700, "-1": -14_700, "688": 10_802_600} {
		if got, problem := s.ms(text); problem != nil || got != want {
			t.Errorf("%s steps are %d, not %d", text, got, want)
		}
	}
	for _, text := range []string{"1e15", "9223372036854775807", "0.5"} {
		if got, problem := s.ms(text); problem == nil {
			t.Errorf("%s steps are %d", text, got)
		}
	}
}

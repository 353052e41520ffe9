package edgecost

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/edgebudget"
)

// PriceList is what the edge platform bills in one currency.
type PriceList struct {
	// Currency is an ISO 4217 code.
	Currency string
	// Prices hold everywhere but at the POPs that have their own.
	Prices edgebudget.Prices
	POPs   map[string]edgebudget.Prices
}

// ID identifies the list by its content: the first 12 hexadecimal digits of a SHA-256.
func (l *PriceList) ID() string {
	var text strings.Builder
	line := func(pop string, p edgebudget.Prices) {
		fmt.Fprintf(&text, "%q %d %d %d\n", pop, p.Requests, p.CPU, p.Egress)
	}
	fmt.Fprintf(&text, "%s\n", l.Currency)
	line("", l.Prices)
	for _, pop := range slices.Sorted(maps.Keys(l.POPs)) {
		line(pop, l.POPs[pop])
	}
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:6])
}

// At are the prices at a POP.
func (l *PriceList) At(pop string) edgebudget.Prices {
	if p, ok := l.POPs[pop]; ok {
		return p
	}
	return l.Prices
}

// Validate reports every problem at once.
func (l *PriceList) Validate() error {
	var problems []error
	if _, ok := event.CurrencyDigits(l.Currency); !ok {
		problems = append(problems, fmt.Errorf("edgecost: %q is not an active ISO 4217 currency", l.Currency))
	}
	negative := func(where string, p edgebudget.Prices) {
		if min(p.Requests, p.CPU, p.Egress) < 0 {
			problems = append(problems, fmt.Errorf("edgecost: negative price%s", where))
		}
	}
	negative("", l.Prices)
	for _, pop := range slices.Sorted(maps.Keys(l.POPs)) {
		negative(" at POP "+pop, l.POPs[pop])
	}
	return errors.Join(problems...)
}

// PriceText is a price list as it is configured: decimals of the currency's major unit.
type PriceText struct {
	// Currency is an ISO 4217 code.
	Currency string
	// Requests is per million requests, CPU per million ms of compute, Egress per GB (10⁹ bytes).
	Requests, CPU, Egress string
	// POPs override single prices, each as "POP:requests=0.25", "POP:cpu-ms=0.03" or "POP:egress-gb=0.02".
	POPs []string
}

// Parse reads the list exactly and reports every problem at once.
func (t PriceText) Parse() (*PriceList, error) {
	var problems []error
	read := func(what, text string) int64 {
		nano, err := ParseNano(cmp.Or(text, "0"))
		if err != nil {
			problems = append(problems, fmt.Errorf("edgecost: price %s: %w", what, err))
		}
		return nano
	}
	l := &PriceList{Currency: t.Currency, POPs: map[string]edgebudget.Prices{}}
	l.Prices = edgebudget.Prices{Requests: read("requests", t.Requests), CPU: read("cpu-ms", t.CPU), Egress: read("egress-gb", t.Egress)}
	seen := map[string]bool{}
	for _, override := range t.POPs {
		name, value, ok := strings.Cut(override, "=")
		colon := strings.LastIndexByte(name, ':')
		if !ok || colon <= 0 {
			problems = append(problems, fmt.Errorf("edgecost: price %q is not POP:requests=…, POP:cpu-ms=… or POP:egress-gb=…", override))
			continue
		}
		if seen[name] {
			problems = append(problems, fmt.Errorf("edgecost: price %s is given twice", name))
		}
		seen[name] = true
		pop, what := name[:colon], name[colon+1:]
		p, known := l.POPs[pop]
		if !known {
			p = l.Prices
		}
		switch what {
		case "requests":
			p.Requests = read(name, value)
		case "cpu-ms":
			p.CPU = read(name, value)
		case "egress-gb":
			p.Egress = read(name, value)
		default:
			problems = append(problems, fmt.Errorf("edgecost: price %q is not POP:requests=…, POP:cpu-ms=… or POP:egress-gb=…", override))
		}
		l.POPs[pop] = p
	}
	if err := l.Validate(); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return l, nil
}

// ParseNano reads a decimal amount of a currency's major unit as nano-units, exactly: more than nine decimals are an error, as is a
// negative amount.
func ParseNano(text string) (int64, error) {
	d, _, err := apd.NewFromString(strings.TrimSpace(text))
	if err != nil || d.Form != apd.Finite {
		return 0, fmt.Errorf("%q is not a decimal number", text)
	}
	if d.Negative && !d.IsZero() {
		return 0, fmt.Errorf("%q is negative", text)
	}
	d.Exponent += 9
	nano, err := d.Int64()
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number of nano-units below 2⁶³: %w", text, err)
	}
	return nano, nil
}

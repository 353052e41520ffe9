package settlement

import "github.com/droplift/droplift/ingest/event"

// pspDigits are the payment provider's exponents where they are not ISO 4217's (DOMAIN 8.3).
var pspDigits = map[string]int{"MGA": 0, "ISK": 2}

// PSP says how the payment provider writes amounts of a currency: with digits decimals, and only multiples of step
// in minor units of ISO 4217. ok is false for a currency that ISO 4217 does not have.
func PSP(currency string) (digits int, step int64, ok bool) {
	iso, ok := event.CurrencyDigits(currency)
	if !ok {
		return 0, 0, false
	}
	digits, step = iso, 1
	if own, differs := pspDigits[currency]; differs {
		digits = own
	}
	for n := digits; n < iso; n++ {
		step *= 10
	}
	if digits == 3 {
		step = 10 // three-decimal amounts must end in 0
	}
	return digits, step, true
}

// ToPSP converts an amount in minor units of ISO 4217 to the payment provider's. rest, in minor units, is what the provider cannot
// express: an amount with a rest must not be sent.
func ToPSP(amount int64, currency string) (psp, rest int64, ok bool) {
	digits, step, ok := PSP(currency)
	if !ok {
		return 0, 0, false
	}
	rest = amount % step
	psp = amount - rest
	iso, _ := event.CurrencyDigits(currency)
	for n := digits; n < iso; n++ {
		psp /= 10
	}
	for n := iso; n < digits; n++ {
		psp *= 10
	}
	return psp, rest, true
}

package event

import "github.com/bojanz/currency"

// CurrencyDigits is the number of digits after the decimal point of an amount
// in major units: the exponent of ISO 4217. ok is false for a code that is not
// in force.
func CurrencyDigits(code string) (digits int, ok bool) {
	if len(code) != 3 {
		return 0, false
	}
	i := currencyIndex(code[0], code[1], code[2])
	if i < 0 || currencyTable[i] == 0 {
		return 0, false
	}
	return int(currencyTable[i]) - 1, true
}

// currencyTable holds digits + 1 at the index of every code in force: decoding
// looks each checkout's currency up, and this is a load where the library hashes.
var currencyTable = func() (table [26 * 26 * 26]uint8) {
	for _, code := range currency.GetCurrencyCodes() {
		if digits, ok := currency.GetDigits(code); ok {
			table[currencyIndex(code[0], code[1], code[2])] = digits + 1
		}
	}
	return table
}()

func currencyIndex(a, b, c byte) int {
	a, b, c = a-'A', b-'A', c-'A'
	if a > 25 || b > 25 || c > 25 {
		return -1
	}
	return (int(a)*26+int(b))*26 + int(c)
}

// complete says whether the shares sum to the whole.
func complete(shares []Share) bool {
	var sum uint64
	for i := range shares {
		sum += uint64(shares[i].BPS)
	}
	return sum == 10_000
}

package settlement

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/droplift/droplift/ingest/event"
)

// Platform is the participant whose share is the platform's own revenue: nothing is paid out to it.
const Platform = "platform"

const dayMS = 24 * 3_600_000

// Config of Ledger and Payouts, which must have the same. The zero value means DOMAIN 8.3's defaults.
type Config struct {
	// Hold in ms after a drop's end, before which nothing of it is paid out (default 7 days; negative for none).
	Hold int64
	// ReserveBPS of a drop's accrual, in basis points, is held back longer (default 1,000; negative for none), until
	// ReserveFor in ms after the drop's end (default 120 days).
	ReserveBPS int64
	ReserveFor int64
	// MinPayout per currency in minor units, below which a payout waits for more; absent: the smallest amount that the payment
	// provider can express.
	MinPayout map[string]int64
	// DisputeFee per currency in minor units, which the payment provider keeps of a chargeback; absent: 0.
	DisputeFee map[string]int64
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	full := c.withDefaults()
	if full.ReserveBPS > 10_000 {
		problems = append(problems, fmt.Errorf("settlement: a reserve of %d basis points is above 10,000", full.ReserveBPS))
	}
	if full.ReserveFor < full.Hold {
		problems = append(problems, fmt.Errorf("settlement: the reserve is released after %d ms, before the hold of %d ms ends", full.ReserveFor, full.Hold))
	}
	for _, amounts := range []struct {
		name string
		by   map[string]int64
	}{{"minimum payout", c.MinPayout}, {"dispute fee", c.DisputeFee}} {
		for _, currency := range slices.Sorted(maps.Keys(amounts.by)) {
			if _, ok := event.CurrencyDigits(currency); !ok {
				problems = append(problems, fmt.Errorf("settlement: %s in %q, which is no ISO 4217 code", amounts.name, currency))
			}
			if amount := amounts.by[currency]; amount < 0 || amount > maxAmount {
				problems = append(problems, fmt.Errorf("settlement: %s of %d %s", amounts.name, amount, currency))
			}
		}
	}
	return errors.Join(problems...)
}

func (c Config) withDefaults() Config {
	standard := func(value *int64, otherwise int64) {
		switch {
		case *value == 0:
			*value = otherwise
		case *value < 0:
			*value = 0
		}
	}
	standard(&c.Hold, 7*dayMS)
	standard(&c.ReserveBPS, 1_000)
	standard(&c.ReserveFor, 120*dayMS)
	return c
}

// next is the event time at which more of a drop that ends at end is released, after watermark; 0 when all of it is.
func (c Config) next(end, watermark int64) int64 {
	switch {
	case watermark < end+c.Hold:
		return end + c.Hold
	case watermark < end+c.ReserveFor:
		return end + c.ReserveFor
	}
	return 0
}

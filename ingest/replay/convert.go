package replay

import (
	"fmt"
	"strconv"
	"time"

	"github.com/cockroachdb/apd/v3"

	"github.com/droplift/droplift/ingest/event"
)

// Reasons of this package's own; a value that the event definition refuses has
// the name of its event.Reason instead. Together they are a closed list.
const (
	// reasonFieldCount: the row has more or fewer fields than the header or the first row.
	reasonFieldCount = "field_count"
	// reasonQuotes: quotes are misplaced or never closed.
	reasonQuotes = "quotes"
	// reasonEncoding: the text is not UTF-8.
	reasonEncoding = "encoding"
	// reasonLineTooLong: the line is over event.MaxRecordBytes.
	reasonLineTooLong = "line_too_long"
	// reasonJSON: the line is not one JSON object.
	reasonJSON = "json"
	// reasonNotANumber: a number or a truth value was expected.
	reasonNotANumber = "not_a_number"
	// reasonBadTime: the text does not have the layout.
	reasonBadTime = "bad_time"
	// reasonNotInMap: the value is none of the expression's map.
	reasonNotInMap = "not_in_map"
	// reasonNoMatch: a required lookup found nothing.
	reasonNoMatch = "no_match"
)

// rejection says why a row cannot become an event.
type rejection struct {
	reason string
	// field is the event field, column the file's column, where they are known.
	field  string
	column string
	detail string
}

func reject(reason, format string, args ...any) *rejection {
	return &rejection{reason: reason, detail: fmt.Sprintf(format, args...)}
}

const (
	// maxDigits bounds the text of a number, maxPower its exponent: beyond any
	// float64 or ledger, and short of what makes exact arithmetic slow.
	maxDigits = 64
	maxPower  = 400
)

// parseDecimal reads decimal text exactly, exponent forms included.
func parseDecimal(text string) (*apd.Decimal, *rejection) {
	if len(text) > maxDigits {
		return nil, reject(reasonNotANumber, "a number of %d characters", len(text))
	}
	d, _, err := apd.NewFromString(text)
	if err != nil || d.Form != apd.Finite {
		return nil, reject(reasonNotANumber, "%q is no number", text)
	}
	if d.Exponent > maxPower || d.Exponent < -maxPower {
		return nil, reject(event.ReasonOutOfRange.String(), "%q has too large an exponent", text)
	}
	return d, nil
}

func parseFloat(text string) (float64, *rejection) {
	if _, r := parseDecimal(text); r != nil {
		return 0, r
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, reject(event.ReasonOutOfRange.String(), "%q is too large", text)
	}
	return f, nil
}

// parseInteger reads a whole number in any notation: 1e+05 is 100000.
func parseInteger(text string) (int64, *rejection) {
	d, r := parseDecimal(text)
	if r != nil {
		return 0, r
	}
	var whole, rest apd.Decimal
	d.Modf(&whole, &rest)
	if !rest.IsZero() {
		return 0, reject(reasonNotANumber, "%q is no whole number", text)
	}
	return toInt64(&whole, text)
}

func toInt64(d *apd.Decimal, text string) (int64, *rejection) {
	n, err := d.Int64()
	if err != nil {
		return 0, reject(event.ReasonOutOfRange.String(), "%q is too large", text)
	}
	return n, nil
}

// decimalToMinor turns an amount in major units into minor units of a currency
// with so many digits, without ever being a float. What is finer than a minor
// unit is refused, except within tolerance (in major units; nil means none) of
// one, which is the residue of float arithmetic in the file's past: then it goes
// to that minor unit and residue is true.
func decimalToMinor(text string, digits int, tolerance *apd.Decimal) (minor int64, residue bool, r *rejection) {
	d, r := parseDecimal(text)
	if r != nil {
		return 0, false, r
	}
	var whole, rest apd.Decimal
	d.Exponent += int32(digits)
	d.Modf(&whole, &rest)
	if rest.IsZero() {
		minor, r = toInt64(&whole, text)
		return minor, false, r
	}
	// Twice maxPower digits hold every difference taken below exactly.
	exact := apd.BaseContext.WithPrecision(2*maxPower + maxDigits)
	var distance apd.Decimal
	distance.Abs(&rest)
	if distance.Cmp(apd.New(5, -1)) > 0 {
		away := apd.New(1, 0)
		away.Negative = rest.Negative
		if _, err := exact.Add(&whole, &whole, away); err != nil {
			return 0, false, reject(event.ReasonOutOfRange.String(), "%q: %v", text, err)
		}
		if _, err := exact.Sub(&distance, apd.New(1, 0), &distance); err != nil {
			return 0, false, reject(event.ReasonOutOfRange.String(), "%q: %v", text, err)
		}
	}
	distance.Exponent -= int32(digits)
	if tolerance == nil || distance.Cmp(tolerance) > 0 {
		return 0, false, reject(event.ReasonAmountPrecision.String(), "%q has more than %d digits after the point", text, digits)
	}
	minor, r = toInt64(&whole, text)
	return minor, r == nil, r
}

// secondsToMS moves the point by three; whole rounds half to even, for fields that hold whole milliseconds.
func secondsToMS(text string, whole bool) (value, *rejection) {
	d, r := parseDecimal(text)
	if r != nil {
		return value{}, r
	}
	d.Exponent += 3
	if !whole {
		return value{text: d.Text('f')}, nil
	}
	n, r := roundHalfEven(d, text)
	return value{n: n, whole: true}, r
}

func roundHalfEven(d *apd.Decimal, text string) (int64, *rejection) {
	ctx := apd.BaseContext.WithPrecision(2*maxPower + maxDigits)
	ctx.Rounding = apd.RoundHalfEven
	var rounded apd.Decimal
	if _, err := ctx.RoundToIntegralValue(&rounded, d); err != nil {
		return 0, reject(event.ReasonOutOfRange.String(), "%q: %v", text, err)
	}
	return toInt64(&rounded, text)
}

// clock reads times of one layout.
type clock struct {
	layout string
	zone   *time.Location
}

// Layouts besides Go's reference time.
const (
	layoutRFC3339 = "rfc3339"
	layoutUnixS   = "unix-s"
	layoutUnixMS  = "unix-ms"
)

// ms returns Unix milliseconds; finer fractions are cut off towards the past.
func (c *clock) ms(text string) (int64, *rejection) {
	switch c.layout {
	case layoutUnixS, layoutUnixMS:
		d, r := parseDecimal(text)
		if r != nil {
			return 0, r
		}
		if c.layout == layoutUnixS {
			d.Exponent += 3
		}
		ctx := apd.BaseContext.WithPrecision(2*maxPower + maxDigits)
		var floor apd.Decimal
		if _, err := ctx.Floor(&floor, d); err != nil {
			return 0, reject(event.ReasonOutOfRange.String(), "%q: %v", text, err)
		}
		return toInt64(&floor, text)
	}
	layout := c.layout
	if layout == layoutRFC3339 {
		layout = time.RFC3339Nano
	}
	t, err := time.ParseInLocation(layout, text, c.zone)
	if err != nil {
		return 0, reject(reasonBadTime, "%q does not have the layout %q", text, c.layout)
	}
	return t.UnixMilli(), nil
}

// steps counts equal steps of time from a start: record n is at start + n·step.
type steps struct {
	start time.Time
	step  time.Duration
}

func (s *steps) ms(text string) (int64, *rejection) {
	n, r := parseInteger(text)
	if r != nil {
		return 0, r
	}
	// The product must not wrap around: dividing it back shows whether it did.
	if n != 0 && s.step*time.Duration(n)/time.Duration(n) != s.step {
		return 0, reject(event.ReasonOutOfRange.String(), "%q steps of %s", text, s.step)
	}
	return s.start.Add(s.step * time.Duration(n)).UnixMilli(), nil
}

package main

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// row reads one row of an answer by column name. An absent (NULL) value reads as –.
type row struct {
	*clickhouse.Table
	index int
}

const absent = "–"

func (r row) value(column string) any {
	for i, name := range r.Columns {
		if name == column {
			return dereference(r.Rows[r.index][i])
		}
	}
	return nil
}

func (r row) text(column string) string {
	switch v := r.value(column).(type) {
	case nil:
		return absent
	case time.Time:
		return v.Format("2006-01-02 15:04")
	default:
		return fmt.Sprint(v)
	}
}

func (r row) number(column string) (float64, bool) {
	v := r.value(column)
	if v == nil {
		return 0, false
	}
	f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	return f, err == nil
}

// float reads a number that may be NULL, which reads as NaN.
func (r row) float(column string) float64 {
	if v, ok := r.number(column); ok {
		return v
	}
	return math.NaN()
}

// truth reads a Bool or a UInt8.
func (r row) truth(column string) bool {
	switch v := r.value(column).(type) {
	case bool:
		return v
	case nil:
		return false
	default:
		return fmt.Sprint(v) != "0"
	}
}

func (r row) decimal(column string, digits int) string {
	v, ok := r.number(column)
	if !ok {
		return absent
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

func (r row) percent(column string) string {
	v, ok := r.number(column)
	if !ok {
		return absent
	}
	return strconv.FormatFloat(100*v, 'f', 2, 64) + " %"
}

func (r row) interval(low, high string) string {
	if _, ok := r.number(low); !ok {
		return absent
	}
	return strings.TrimSuffix(r.percent(low), " %") + " – " + r.percent(high)
}

func (r row) duration(column string) string {
	v, ok := r.number(column)
	if !ok {
		return absent
	}
	return brief((time.Duration(v) * time.Millisecond).Round(time.Minute))
}

// brief is a duration without its zero minutes and seconds.
func brief(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// money turns minor units into the currency's own.
func (r row) money(column, currency string) string {
	v, ok := r.value(column).(int64)
	if !ok {
		return absent
	}
	digits, ok := event.CurrencyDigits(currency)
	if !ok {
		return strconv.FormatInt(v, 10)
	}
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	s := strconv.FormatInt(v, 10)
	if digits == 0 {
		return sign + s
	}
	if len(s) <= digits {
		s = strings.Repeat("0", digits-len(s)+1) + s
	}
	return sign + s[:len(s)-digits] + "." + s[len(s)-digits:]
}

// dereference turns the pointer of a Nullable column into its value, or nil.
func dereference(v any) any {
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer {
		if p.IsNil() {
			return nil
		}
		return p.Elem().Interface()
	}
	return v
}

// moment is the time in a column; zero if absent.
func (r row) moment(column string) time.Time {
	at, _ := r.value(column).(time.Time)
	return at
}

// span is an interval of plain numbers.
func (r row) span(low, high string, digits int) string {
	if _, ok := r.number(low); !ok {
		return absent
	}
	return r.decimal(low, digits) + " – " + r.decimal(high, digits)
}

// unitScale is what values of an estimate's unit are divided by to be shown: minor:CUR is shown in the currency's own unit, nano:CUR too.
func unitScale(unit string) float64 {
	scale, currency, ok := strings.Cut(unit, ":")
	switch {
	case ok && scale == "nano":
		return 1e9
	case ok && scale == "minor":
		digits, _ := event.CurrencyDigits(currency)
		return math.Pow10(digits)
	}
	return 1
}

// amount is a value of an estimate, in the unit that is shown.
func (r row) amount(column, unit string) string {
	v, ok := r.number(column)
	if !ok {
		return absent
	}
	if scale := unitScale(unit); scale != 1 {
		return strconv.FormatFloat(v/scale, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 5, 64)
}

func (r row) amountSpan(low, high, unit string) string {
	if _, ok := r.number(low); !ok {
		return absent
	}
	return r.amount(low, unit) + " – " + r.amount(high, unit)
}

// dimensions joins the values of a map column in order of its keys.
func (r row) dimensions(column string) string {
	m := reflect.ValueOf(r.value(column))
	if m.Kind() != reflect.Map {
		return ""
	}
	var parts []string
	for it := m.MapRange(); it.Next(); {
		parts = append(parts, fmt.Sprint(it.Key(), " ", it.Value()))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// short is any value in few characters.
func (r row) short(column string) string {
	switch v := r.value(column).(type) {
	case float64:
		return strconv.FormatFloat(v, 'g', 5, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', 5, 64)
	default:
		if reflect.ValueOf(v).Kind() == reflect.Map {
			return r.dimensions(column)
		}
		return r.text(column)
	}
}

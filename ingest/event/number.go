package event

import (
	"encoding/binary"
	"math"
	"strconv"
	"unsafe"
)

// number is the shape of a JSON number: the digits of its integer part end at
// point, those of its fraction at exp.
type number struct {
	point, exp int
	negative   bool
}

// scanNumber finds the number at b[i]; end is i when there is none. A number
// that ends where b does is none: an object would go on, so it is cut short.
func scanNumber(b []byte, i int) (n number, end int) {
	start := i
	if i < len(b) && b[i] == '-' {
		n.negative = true
		i++
	}
	digits := i
	i = scanDigits(b, i)
	if i == digits || b[digits] == '0' && i > digits+1 {
		return n, start
	}
	n.point = i
	if i < len(b) && b[i] == '.' {
		fraction := i + 1
		if i = scanDigits(b, fraction); i == fraction {
			return n, start
		}
	}
	n.exp = i
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		power := i
		if i = scanDigits(b, i); i == power {
			return n, start
		}
	}
	if i == len(b) {
		return n, start
	}
	return n, i
}

func scanDigits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// digits8 returns the value of 8 ASCII digits, first digit in the lowest byte.
func digits8(w uint64) (value uint64, ok bool) {
	if (w&(0xF0*ones) | ((w+0x06*ones)&(0xF0*ones))>>4) != 0x33*ones {
		return 0, false
	}
	w = (w & (0x0F * ones)) * (10<<8 + 1) >> 8         // 4 pairs, 0 to 99
	w = (w & 0x00FF00FF00FF00FF) * (100<<16 + 1) >> 16 // 2 fours
	return (w & 0x0000FFFF0000FFFF) * (10000<<32 + 1) >> 32, true
}

// leading reads the digits at b[i], as many as there are; the value is right for up to 19.
func leading(b []byte, i int) (value uint64, next int) {
	if i+8 <= len(b) {
		if v, ok := digits8(binary.LittleEndian.Uint64(b[i:])); ok {
			value, i = v, i+8
		}
	}
	for i < len(b) {
		c := b[i] - '0'
		if c > 9 {
			break
		}
		value = value*10 + uint64(c)
		i++
	}
	return value, i
}

// whole says that b[i:end] is an integer of at most 18 digits, with nothing of a number behind it.
func whole(b []byte, i, end int) bool {
	digits := end - i
	return digits-1 < 18 && digits > 0 && end < len(b) && b[end] != '.' && b[end]|0x20 != 'e' && (b[i] != '0' || digits == 1)
}

// integer reads an integral number that fits an int64.
func (d *Decoder) integer(b []byte, i int) (int64, int) {
	if value, end := leading(b, i); whole(b, i, end) {
		return int64(value), end
	}
	if i < len(b) && b[i] == '-' {
		if value, end := leading(b, i+1); whole(b, i+1, end) {
			return -int64(value), end
		}
	}
	magnitude, negative, end := d.magnitude(b, i)
	switch {
	case end < 0:
		return 0, end
	case !negative && magnitude <= math.MaxInt64:
		return int64(magnitude), end
	case negative && magnitude <= -math.MinInt64:
		return -int64(magnitude), end
	}
	return 0, d.stop(ReasonOutOfRange, "", i)
}

// minor reads an amount in minor units; a fraction of one is ReasonAmountPrecision.
func (d *Decoder) minor(b []byte, i int) (int64, int) {
	value, end := d.integer(b, i)
	if end < 0 && d.err.Reason == ReasonWrongType {
		if j := space(b, i); j < len(b) && (b[j] == '-' || b[j]-'0' <= 9) {
			d.err.Reason = ReasonAmountPrecision
		}
	}
	return value, end
}

// unsigned reads an integral number that fits a uint64.
func (d *Decoder) unsigned(b []byte, i int) (uint64, int) {
	if value, end := leading(b, i); whole(b, i, end) {
		return value, end
	}
	magnitude, negative, end := d.magnitude(b, i)
	if end >= 0 && negative && magnitude > 0 {
		return 0, d.stop(ReasonOutOfRange, "", i)
	}
	return magnitude, end
}

// magnitude reads an integral number in any notation, exactly: 1.50e1 is 15.
func (d *Decoder) magnitude(b []byte, i int) (value uint64, negative bool, end int) {
	i = space(b, i)
	n, end := scanNumber(b, i)
	if end == i {
		return 0, false, d.wrong(b, i)
	}
	// The value is digits·10^power, digits with neither leading nor trailing zeros.
	power := 0
	if n.exp < end {
		p, err := strconv.Atoi(string(b[n.exp+1 : end]))
		if err != nil { // too large for an int: any bound that no record's digits outweigh does
			p = 4 * MaxRecordBytes
			if b[n.exp+1] == '-' {
				p = -p
			}
		}
		power = min(max(p, -4*MaxRecordBytes), 4*MaxRecordBytes)
	}
	last := n.exp
	for last > i && (b[last-1] == '0' || b[last-1] == '.') {
		last--
	}
	if last > n.point {
		power -= last - n.point - 1
	} else {
		power += n.point - last
	}
	overflow := false
	push := func(digit uint64) {
		overflow = overflow || value > math.MaxUint64/10 || value*10 > math.MaxUint64-digit
		value = value*10 + digit
	}
	for _, c := range b[i:last] {
		if c != '-' && c != '.' {
			push(uint64(c - '0'))
		}
	}
	switch {
	case value == 0 && !overflow:
		return 0, false, end
	case power < 0:
		return 0, false, d.stop(ReasonWrongType, "", i)
	case power > 19:
		return 0, false, d.stop(ReasonOutOfRange, "", i)
	}
	for range power {
		push(0)
	}
	if overflow {
		return 0, false, d.stop(ReasonOutOfRange, "", i)
	}
	return value, n.negative, end
}

// powers of ten that a float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// float reads a number.
func (d *Decoder) float(b []byte, i int) (float64, int) {
	// Up to 15 digits and a power of ten are exact, so that one division rounds right.
	first, sign := i, 1.0
	if i < len(b) && b[i] == '-' {
		first, sign = i+1, -1
	}
	value, point := leading(b, first)
	if digits := point - first; digits > 0 && digits <= 15 && (b[first] != '0' || digits == 1) && point < len(b) {
		if b[point] != '.' {
			if b[point]|0x20 != 'e' {
				return sign * float64(value), point
			}
		} else {
			end := point + 1
			for end < len(b) && b[end]-'0' <= 9 {
				value = value*10 + uint64(b[end]-'0')
				end++
			}
			if fraction := end - point - 1; fraction > 0 && digits+fraction <= 15 && end < len(b) && b[end]|0x20 != 'e' {
				return sign * float64(value) / powers[fraction], end
			}
		}
	}
	i = space(b, i)
	_, end := scanNumber(b, i)
	if end == i {
		return 0, d.wrong(b, i)
	}
	f, err := strconv.ParseFloat(unsafe.String(&b[i], end-i), 64)
	if err != nil { // the syntax is right, so this is the range
		return 0, d.stop(ReasonOutOfRange, "", i)
	}
	return f, end
}

// fixed arrays: exactly len(dst) elements.

func (d *Decoder) uint32s(b []byte, i int, dst []uint32) int {
	return elements(d, b, i, dst, func(b []byte, i int) (uint32, int) {
		value, j := d.unsigned(b, i)
		if j >= 0 && value > math.MaxUint32 {
			j = d.stop(ReasonOutOfRange, "", i)
		}
		return uint32(value), j
	})
}

func (d *Decoder) int64s(b []byte, i int, dst []int64) int {
	return elements(d, b, i, dst, d.integer)
}

func (d *Decoder) float64s(b []byte, i int, dst []float64) int {
	return elements(d, b, i, dst, d.float)
}

// floatList reads an array of any length and appends it to list.
func (d *Decoder) floatList(b []byte, i int, list []float64) ([]float64, int) {
	i, more := d.array(b, i)
	for i >= 0 && more {
		var f float64
		if f, i = d.float(b, i); i >= 0 {
			list = append(list, f)
			i, more = d.element(b, i)
		}
	}
	return list, i
}

func elements[T any](d *Decoder, b []byte, i int, dst []T, read func(b []byte, i int) (T, int)) int {
	if j := compact(b, i, dst, read); j >= 0 {
		return j
	}
	start := i
	i, more := d.array(b, i)
	for k := range dst {
		if i < 0 {
			return i
		}
		if !more {
			return d.stop(ReasonWrongType, "", start)
		}
		if dst[k], i = read(b, i); i >= 0 {
			i, more = d.element(b, i)
		}
	}
	if i >= 0 && more {
		return d.stop(ReasonWrongType, "", start)
	}
	return i
}

// compact is elements for an array without white space; any other fails.
func compact[T any](b []byte, i int, dst []T, read func(b []byte, i int) (T, int)) int {
	if i >= len(b) || b[i] != '[' {
		return -1
	}
	for k := range dst {
		after := byte(',')
		if k == len(dst)-1 {
			after = ']'
		}
		if dst[k], i = read(b, i+1); i < 0 || i >= len(b) || b[i] != after {
			return -1
		}
	}
	return i + 1
}

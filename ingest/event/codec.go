package event

import "fmt"

// Decoder turns record bytes into records in one pass, without reflection, maps
// or, unless a string is escaped, allocations. Not safe for concurrent use;
// keep one per goroutine. The zero Decoder is ready.
//
// A record is refused at the first thing wrong with it. What was read up to
// there stays in the destination, so that a dead letter can name the drop.
type Decoder struct {
	// UnknownFields counts the members that were skipped because no field has their name, over all calls.
	UnknownFields uint64

	err     Error
	names   []byte // the last name or skipped string that had escapes
	escaped []byte // unescaped strings; a full chunk is left to the records that use it
}

// Decode reads one raw record of kind into ev, which it resets first. Strings of
// ev alias data, which must not change while they are used. The returned error is nil when the record is
// valid; it stays readable until the next call.
func (d *Decoder) Decode(kind Kind, data []byte, ev *Event) *Error {
	ev.Reset(kind)
	if len(data) > MaxRecordBytes {
		return d.refuse(ReasonTooLarge, "", MaxRecordBytes)
	}
	return d.end(data, d.event(data, ev))
}

// Append appends ev as JSON. Fields at their default are left out, except
// required ones. Invalid UTF-8 is replaced by U+FFFD. A NaN or an infinity, for which JSON has no number, is
// written as null. An event of no raw kind appends nothing.
func Append(dst []byte, ev *Event) []byte { return appendEvent(dst, ev) }

// String is Topic, or "unknown".
func (k Kind) String() string {
	if topic := k.Topic(); topic != "" {
		return topic
	}
	return "unknown"
}

func (e *Error) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset)
	}
	return fmt.Sprintf("%s: %s at byte %d", e.Reason, e.Field, e.Offset)
}

// end closes a record whose object ends at i; i < 0 says that d.err holds why it was refused.
func (d *Decoder) end(b []byte, i int) *Error {
	if i < 0 {
		if d.err.Field == "" && d.err.Reason == ReasonWrongType { // some other JSON value
			d.err.Reason = ReasonMalformed
		}
		return &d.err
	}
	if i = space(b, i); i < len(b) {
		return d.refuse(ReasonMalformed, "", i)
	}
	return nil
}

func (d *Decoder) refuse(reason Reason, field string, offset int) *Error {
	d.err = Error{Reason: reason, Field: field, Offset: offset}
	return &d.err
}

// stop refuses the record from within the scanner, where a negative position means refusal.
func (d *Decoder) stop(reason Reason, field string, offset int) int {
	d.err = Error{Reason: reason, Field: field, Offset: offset}
	return -1
}

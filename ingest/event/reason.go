package event

// Reason is the closed list of why a record cannot be counted.
type Reason uint8

const (
	ReasonNone Reason = iota
	// ReasonMalformed: not one JSON object.
	ReasonMalformed
	// ReasonWrongType: a known field holds a value of another JSON type.
	ReasonWrongType
	// ReasonMissingField: a required field is absent or empty.
	ReasonMissingField
	// ReasonUnknownType: type is not one of the kind's.
	ReasonUnknownType
	// ReasonUnknownEnum: an enumerated field holds an unknown value.
	ReasonUnknownEnum
	// ReasonOutOfRange: a number is outside its range.
	ReasonOutOfRange
	// ReasonBadID: id is not a UUID.
	ReasonBadID
	// ReasonUnknownCurrency: currency is not an ISO 4217 code.
	ReasonUnknownCurrency
	// ReasonAmountPrecision: the amount is finer than the currency allows.
	ReasonAmountPrecision
	// ReasonSplitShares: a split's shares do not sum to 10,000 basis points.
	ReasonSplitShares
	// ReasonDropTimes: end_ms is not after start_ms.
	ReasonDropTimes
	// ReasonTooLarge: the record is over MaxRecordBytes.
	ReasonTooLarge
	// ReasonUnknownDrop: drop_id is not in the catalogue.
	ReasonUnknownDrop
	// ReasonClock: event_time and ingest_time differ by more than 7 days.
	ReasonClock
	// ReasonTooLong: a text field is over MaxTextBytes.
	ReasonTooLong
	// ReasonPoison: the store refuses the record, though it decodes; the field of its dead letter holds the store's words.
	ReasonPoison
)

// MaxRecordBytes bounds one raw record's JSON; MaxTextBytes one text field of any record.
const (
	MaxRecordBytes = 1 << 20
	MaxTextBytes   = 1 << 10
)

// Error says which field was refused and why. Decode returns it by value in a
// reused place, so it allocates nothing.
type Error struct {
	Reason Reason
	// Field is the JSON name, or empty for the record as a whole.
	Field string
	// Offset is the byte in the record at which it was noticed.
	Offset int
}

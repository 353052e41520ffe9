package event

// Record is one record consumed from the log.
type Record struct {
	Kind   Kind
	Offset int64
	// Timestamp is the broker's (Unix ms); it stands in for a missing ingest_time.
	Timestamp int64
	Key       []byte
	Value     []byte
}

// Message is one record to be produced.
type Message struct {
	Kind  Kind
	Key   []byte
	Value []byte
}

// Outcome is what became of a consumed record; every record has exactly one.
type Outcome uint8

const (
	// Accepted records were folded into the rules.
	Accepted Outcome = iota
	// Duplicate records carry an ID that was accepted before.
	Duplicate
	// PastLateness records went to the late topic.
	PastLateness
	// DeadLettered records went to the dead-letter topic.
	DeadLettered
)

// Refusal is one record that a store could not take in.
type Refusal struct {
	Offset int64
	Reason Reason
	// Field is the offending field, or for ReasonPoison what the store said.
	Field string
}

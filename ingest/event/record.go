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

// Routed says whether records of the kind are placed by the first part of their key,
// which ends at the first | that no \ escapes: all of one drop, or of one participant, meet in one partition,
// where the rollup stage adds them up. Other derived records stay in the number of the partition they are about.
func (k Kind) Routed() bool {
	switch k {
	case KindEstimate, KindDecision, KindInventory, KindAttribution, KindLatencySketch, KindLocalization, KindPayable, KindEdgeCost, KindExperimentArm, KindExample:
		return true
	}
	return false
}

// Route is the part of a routed record's key that places it.
func Route(key []byte) []byte {
	for i := 0; i < len(key); i++ {
		switch key[i] {
		case '\\':
			i++
		case '|':
			return key[:i]
		}
	}
	return key
}

// Broadcast says whether every partition of the kind's topic gets a copy of each record.
func (k Kind) Broadcast() bool { return k == KindProgress }

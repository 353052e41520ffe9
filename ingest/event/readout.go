package event

// Grade is how strong the evidence behind a number is, and with it which words may describe it (DOMAIN 4.1).
type Grade uint8

const (
	// GradeNone: the number is a count or a sum, which claims no effect.
	GradeNone Grade = iota
	// GradeRandomizedITT: a randomised holdout of the offer; "caused, per offered player".
	GradeRandomizedITT
	// GradeRandomizedCACE: the same as an instrument; "caused, per purchaser, if the offer acts only through purchase".
	GradeRandomizedCACE
	// GradeQuasiDID: differences in differences whose pre-trend test passed; "estimated effect, assumes parallel trends".
	GradeQuasiDID
	// GradeMatched: compared with matched or weighted others; "adjusted association".
	GradeMatched
	// GradeDescriptive: the raw difference; the word lift is forbidden.
	GradeDescriptive
)

// Estimate is one published statement about a drop, or a model, that rests on all
// partitions. Key: drop_id|metric|dimensions; newer revisions replace older ones.
type Estimate struct {
	// DropID names the drop; of what is said about a model instead it is model:<name>.
	DropID string `json:"drop_id" rule:"required"`
	// CreatorID names the drop's creator.
	CreatorID string `json:"creator_id"`
	// Metric is what is estimated, such as latency_loss_conversions or experiment_effect.
	Metric string `json:"metric" rule:"required"`
	// Dimensions say of what part of the drop, in a fixed order per metric; none means all of it.
	Dimensions []Dimension `json:"dimensions"`
	// Revision grows with every publication.
	Revision uint64 `json:"revision" rule:"required"`
	// AsOf is the event time (Unix ms) up to which every partition that takes part is complete.
	AsOf int64 `json:"as_of" rule:"required"`
	// From and To are the window in event time (Unix ms), [From, To).
	From int64 `json:"from" rule:"required"`
	To   int64 `json:"to" rule:"required"`
	// Maturity says whether a later revision may differ.
	Maturity Maturity `json:"maturity" rule:"required"`
	// Grade is the strength of the evidence; Label the words that may go with it, such as observational.
	Grade Grade  `json:"grade"`
	Label string `json:"label"`
	// Enough says that the data suffice; otherwise Value, Low, High and P mean nothing, and Why says what is missing or alarms.
	Enough bool   `json:"enough"`
	Why    string `json:"why"`
	// Unit of Value, Low and High: pp, rel, conversions, ms, or minor:USD and the like.
	Unit string `json:"unit" rule:"required"`
	// N is the number of units looked at, Numerator of those that had the outcome.
	N         uint64 `json:"n"`
	Numerator uint64 `json:"numerator"`
	// Value is the estimate, [Low, High] its interval at Confidence.
	Value      float64 `json:"value"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"`
	// P is the p-value against no effect; −1 where none is claimed. AlwaysValid says that it and the interval hold under continuous watching.
	P           float64 `json:"p" rule:"default=-1"`
	AlwaysValid bool    `json:"always_valid"`
	// SampleRate is the lowest sampling rate among the events behind it. Absent means 1.
	SampleRate float64 `json:"sample_rate" rule:"above=0;max=1;default=1"`
	// Details are further numbers by name: standard error, posterior, reference rate.
	Details []Detail `json:"details"`
}

// Dimension is one dimension and its value.
type Dimension struct {
	// Name of the dimension: pop, language, experiment, variant.
	Name string `json:"name"`
	// Value of the dimension.
	Value string `json:"value"`
}

// Detail is one number by name.
type Detail struct {
	// Name of the number.
	Name string `json:"name"`
	// Value of the number.
	Value float64 `json:"value"`
}

// Decision is one live decision, with what it was made from: an autoscaler, a
// pager or a person acts on it. Key: drop_id|topic of the decision|subject|at.
type Decision struct {
	// DropID names the drop.
	DropID string `json:"drop_id" rule:"required"`
	// Topic is what is decided: pace, budget, replicas, shed, inventory, burn_rate, experiment.
	Topic string `json:"topic" rule:"required"`
	// Subject is the part of the drop it is about: a POP, a sku, a language; empty for the drop.
	Subject string `json:"subject"`
	// At is the event time (Unix ms) as of which it was made.
	At int64 `json:"at" rule:"required"`
	// Chosen is the decision, such as warn, cap, scale or page; Previous what it replaces.
	Chosen   string `json:"chosen" rule:"required"`
	Previous string `json:"previous"`
	// Value of what was chosen, where it is a number: replicas, a pacing probability.
	Value float64 `json:"value"`
	// Reason is one sentence for a person.
	Reason string `json:"reason" rule:"required"`
	// Inputs are the numbers that it rests on.
	Inputs []Input `json:"inputs"`
}

// Input is one number that a decision rests on.
type Input struct {
	// Name of the number.
	Name string `json:"name"`
	// Value of the number.
	Value float64 `json:"value"`
}

// Progress is how far one partition of the processors has come. Key: the
// partition; newer records replace older ones. Every partition of its topic gets a copy, see Kind.Broadcast.
type Progress struct {
	// Partition of the input that has come so far.
	Partition int32 `json:"partition" rule:"required"`
	// Watermark of the partition: no record at or before it is expected.
	Watermark int64 `json:"watermark" rule:"required"`
	// Idle says that nothing has come for a while and nothing waits, so that the partition holds nobody up.
	Idle bool `json:"idle"`
}

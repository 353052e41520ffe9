package event

// ExperimentArm is one mergeable partial: what one partition saw of one arm of
// an experiment among the consenting players of one language. Key: drop_id|experiment_id|language|variant|partition;
// newer revisions replace older ones; sums over partitions are exact. A player counts once, in the arm and language of
// their first exposure.
type ExperimentArm struct {
	// DropID names the drop.
	DropID string `json:"drop_id" rule:"required"`
	// ExperimentID and Variant name the arm.
	ExperimentID string `json:"experiment_id" rule:"required"`
	Variant      string `json:"variant" rule:"required"`
	// Language of the players (BCP 47); empty where none is known.
	Language string `json:"language"`
	// Partition of the input that this partial is about.
	Partition int32 `json:"partition" rule:"required"`
	// Revision grows with every publication of this partial.
	Revision uint64 `json:"revision" rule:"required"`
	// Watermark of the partition when published; −1 when it has none yet.
	Watermark int64 `json:"watermark" rule:"required"`
	// Maturity says whether exposures and conversions may still change, RefundMaturity the same of refunds, which come later.
	Maturity       Maturity `json:"maturity" rule:"required"`
	RefundMaturity Maturity `json:"refund_maturity" rule:"required"`
	// Design is a fingerprint of the catalogue's experiment as it was at the first exposure; Changed says that a later
	// exposure met another one.
	Design  string `json:"design" rule:"required"`
	Changed bool   `json:"changed"`

	// Exposed counts players by their first exposure.
	Exposed uint32 `json:"exposed"`
	// Converted counts those with a completed checkout in the drop at or after it, Refunded those of them who returned one.
	Converted uint32 `json:"converted"`
	Refunded  uint32 `json:"refunded"`
	// Crossed counts those who were shown another variant too, Misassigned those whose first one is not what assignment gives them.
	Crossed     uint32 `json:"crossed"`
	Misassigned uint32 `json:"misassigned"`
	// SampleRate is the lowest sampling rate among the exposures. Absent means 1.
	SampleRate float64 `json:"sample_rate" rule:"above=0;max=1;default=1"`
}

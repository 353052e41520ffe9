package event

// EdgeCost is one mergeable partial: what one partition saw a drop use at the edge, at one POP, for one creator, in one pane
// of PaneMS, and what that costs by one price list (DOMAIN 9). Key:
// drop_id|pop|creator_id|pane_start|synthetic|prices|partition, routed by drop_id; newer revisions replace older ones; sums are exact.
// Sampled events weigh 1/sample_rate. Unlike in other kinds synthetic requests count, in partials of their own: they are billed as well.
type EdgeCost struct {
	// DropID names the drop; empty for traffic outside drops.
	DropID string `json:"drop_id"`
	// POP is the edge location; empty where none is known.
	POP string `json:"pop"`
	// CreatorID names the creator whose content was served; empty where none is known.
	CreatorID string `json:"creator_id"`
	// Partition of the input that this partial is about.
	Partition int32 `json:"partition" rule:"required"`
	// PaneStart is the event time (Unix ms) at which the pane begins, PaneMS its length.
	PaneStart int64 `json:"pane_start" rule:"required"`
	PaneMS    int64 `json:"pane_ms" rule:"required;min=1"`
	// Synthetic partials hold probes and warm-up traffic only, the others none of it.
	Synthetic bool `json:"synthetic"`
	// Revision grows with every publication of this partial.
	Revision uint64 `json:"revision" rule:"required"`
	// Watermark of the partition when published; −1 when it has none yet.
	Watermark int64 `json:"watermark" rule:"required"`
	// Maturity says whether a later revision may differ.
	Maturity Maturity `json:"maturity" rule:"required"`
	// Newest is the event time (Unix ms) of the newest event counted here.
	Newest int64 `json:"newest" rule:"required"`

	// Samples counts the latency events behind it, SampleRate is the lowest rate among them. Absent means 1.
	Samples    uint64  `json:"samples"`
	SampleRate float64 `json:"sample_rate" rule:"above=0;max=1;default=1"`
	// RequestsMicro are edge requests in millionths: sampling makes fractions of them.
	RequestsMicro int64 `json:"requests_micro" rule:"min=0;minor"`
	// CPUMicros is edge compute in microseconds.
	CPUMicros int64 `json:"cpu_us" rule:"min=0;minor"`
	// EgressBytes left the edge.
	EgressBytes int64 `json:"egress_bytes" rule:"min=0;minor"`
	// Conversions counts players' first completed checkout of the drop, at the checkout's own POP and creator.
	Conversions uint32 `json:"conversions"`

	// Currency of Cost; empty where no price list applies: Cost then means nothing.
	Currency string `json:"currency" rule:"currency"`
	// Prices identifies the price list by a hash of it; empty where none applies.
	Prices string `json:"prices"`
	// Cost is in nano-units of Currency.
	Cost int64 `json:"cost" rule:"min=0;minor"`
}

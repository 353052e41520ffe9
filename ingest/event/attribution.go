package event

// NumLatencyBuckets is the number of landing latency buckets: their edges are 50, 100, 150, 200, 300, 400, 500, 800,
// 1200, 2000 and 5000 ms (DOMAIN 5).
const NumLatencyBuckets = 12

// Attribution is one mergeable partial of revenue against landing latency: the
// viewers of a drop whose first landing view one partition saw in one stratum. Key:
// drop_id|pop|device|language|age_from|partition; newer revisions replace older
// ones; sums over partitions and strata are exact. Synthetic events are not counted.
type Attribution struct {
	// DropID names the drop.
	DropID string `json:"drop_id" rule:"required"`
	// CreatorID names the drop's creator.
	CreatorID string `json:"creator_id"`
	// POP, Device and Language are those of the first landing view.
	POP      string `json:"pop"`
	Device   string `json:"device"`
	Language string `json:"language"`
	// AgeFrom is where the bin of the drop's age begins in which the first landing view lies (ms after the start), AgeTo
	// where it ends; −1 and 0 for views before the start.
	AgeFrom int64 `json:"age_from"`
	AgeTo   int64 `json:"age_to"`
	// Partition of the input that this partial is about.
	Partition int32 `json:"partition" rule:"required"`
	// Revision grows with every publication of this stratum.
	Revision uint64 `json:"revision" rule:"required"`
	// Watermark of the partition when published; −1 when it has none yet.
	Watermark int64 `json:"watermark" rule:"required"`
	// Maturity says whether a later revision may differ. Viewers and conversions cannot any more once Closed; refunds
	// still lower Money until the stratum is final.
	Maturity Maturity `json:"maturity" rule:"required"`
	Closed   bool     `json:"closed"`
	// From and To are the drop's start and end in the catalogue (Unix ms), BudgetMS its latency budget; 0 means the default.
	From     int64 `json:"from"`
	To       int64 `json:"to"`
	BudgetMS int64 `json:"budget_ms"`
	// SampleRate is the lowest sampling rate among the landing requests behind it. Absent means 1.
	SampleRate float64 `json:"sample_rate" rule:"above=0;max=1;default=1"`

	// Viewers counts players by the latency bucket of their first landing request.
	Viewers [NumLatencyBuckets]uint32 `json:"viewers"`
	// Conversions counts those of them who completed a checkout at or after their landing view and before the drop's end.
	Conversions [NumLatencyBuckets]uint32 `json:"conversions"`
	// LatencyUS sums their landing latencies in microseconds.
	LatencyUS [NumLatencyBuckets]int64 `json:"latency_us"`
	// Unmeasured counts viewers without a landing request near their first landing view, UnmeasuredConversions those who converted.
	Unmeasured            uint32 `json:"unmeasured"`
	UnmeasuredConversions uint32 `json:"unmeasured_conversions"`
	// Money is what measured viewers paid, sorted by Currency.
	Money []LatencyMoney `json:"money"`
}

// LatencyMoney is net revenue by latency bucket.
type LatencyMoney struct {
	// Currency is an ISO 4217 code.
	Currency string `json:"currency"`
	// Net is completed checkouts less refunds and chargebacks, in minor units of Currency.
	Net [NumLatencyBuckets]int64 `json:"net"`
}

// LatencySketch is one mergeable partial of latency quantiles: a DDSketch of what
// one partition saw of one request kind at one POP in one pane of PaneMS. Key:
// drop_id|pop|request|pane_start|partition; newer revisions replace older ones.
// Sketches of equal Accuracy merge by adding up the weights of equal indexes, over
// partitions, POPs and panes. Synthetic events are not counted.
type LatencySketch struct {
	// DropID names the drop.
	DropID string `json:"drop_id" rule:"required"`
	// POP is the edge location; empty where none is known.
	POP string `json:"pop"`
	// Request says what was fetched.
	Request Request `json:"request" rule:"required"`
	// Partition of the input that this partial is about.
	Partition int32 `json:"partition" rule:"required"`
	// PaneStart is the event time (Unix ms) at which the pane begins, PaneMS its length.
	PaneStart int64 `json:"pane_start" rule:"required"`
	PaneMS    int64 `json:"pane_ms" rule:"required"`
	// Revision grows with every publication of this pane.
	Revision uint64 `json:"revision" rule:"required"`
	// Watermark of the partition when published; −1 when it has none yet.
	Watermark int64 `json:"watermark" rule:"required"`
	// Maturity says whether a later revision may differ.
	Maturity Maturity `json:"maturity" rule:"required"`
	// SampleRate is the lowest sampling rate among the events behind it. Absent means 1.
	SampleRate float64 `json:"sample_rate" rule:"above=0;max=1;default=1"`

	// Accuracy is the relative error α of every quantile: γ = (1+α)/(1−α).
	Accuracy float64 `json:"accuracy" rule:"required"`
	// Samples counts the events, unweighted.
	Samples uint64 `json:"samples"`
	// Zero is the weight of samples of 0 ms. Weights are 1000 / sample_rate, in thousandths of a request.
	Zero uint64 `json:"zero"`
	// Bins are the others, sorted by Index.
	Bins []SketchBin `json:"bins"`

	// Hits, Stale, Misses and Bypassed are the weights of the requests by the edge cache's verdict, like Zero; one without
	// a verdict is in none.
	Hits     uint64 `json:"hits"`
	Stale    uint64 `json:"stale"`
	Misses   uint64 `json:"misses"`
	Bypassed uint64 `json:"bypassed"`
}

// SketchBin is one bin of a DDSketch in the convention of DataDog's libraries: [γ^Index, γ^(Index+1)), whose
// value is γ^Index·(1+α).
type SketchBin struct {
	// Index of the bin.
	Index int32 `json:"index"`
	// Weight in thousandths of a request.
	Weight uint64 `json:"weight"`
}

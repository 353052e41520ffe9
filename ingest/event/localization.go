package event

// Localization is one mergeable partial: the verdicts on one partition's cues of a drop in
// one target language in one pane of PaneMS. Key: drop_id|language|pane_start|partition; newer revisions replace older ones;
// sums over partitions and panes are exact. A cue counts once, in the pane of the earliest record about it in any language. Synthetic cues are
// not counted. Expected = Good + Missing + the shown cues with a fault, of which each may have several.
type Localization struct {
	// DropID names the drop.
	DropID string `json:"drop_id" rule:"required"`
	// Language is the target language, SameLanguage says that it is the one spoken.
	Language     string `json:"language" rule:"required"`
	SameLanguage bool   `json:"same_language"`
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

	// Expected counts the cues of the source track, which are the valid events of the objective.
	Expected uint32 `json:"expected"`
	// Good counts cues that were shown without a fault, Stretch those that keep the stricter reading speed as well.
	Good    uint32 `json:"good"`
	Stretch uint32 `json:"stretch"`
	// Missing counts cues that were never shown; Unreported is the part of them that nobody reported: their
	// deadline passed while the source track went on.
	Missing    uint32 `json:"missing"`
	Unreported uint32 `json:"unreported"`
	// Slow, Brief, Long, Dense, Wordy and Early count shown cues by fault: latency, too short or too long on screen, too many
	// characters or words for that time, and on screen before the words were spoken.
	Slow  uint32 `json:"slow"`
	Brief uint32 `json:"brief"`
	Long  uint32 `json:"long"`
	Dense uint32 `json:"dense"`
	Wordy uint32 `json:"wordy"`
	Early uint32 `json:"early"`
	// LatencySumMS is over all expected cues, missing ones at the cap.
	LatencySumMS int64 `json:"latency_sum_ms"`
	// LatencyZero counts latencies of 0 ms, LatencyBins the others, missing ones at the cap.
	LatencyZero uint32          `json:"latency_zero"`
	LatencyBins []CueLatencyBin `json:"latency_bins"`
	// Translated counts shown cues with a translation time, TranslationBins their times, TranslationSumMS the sum of them.
	Translated       uint32              `json:"translated"`
	TranslationSumMS int64               `json:"translation_sum_ms"`
	TranslationBins  []CueTranslationBin `json:"translation_bins"`
}

// CueLatencyBin is one bin of a DDSketch with relative error α = 0.01: values v in ms with γ^Index ≤ v < γ^(Index+1), γ = 1.01/0.99, which
// γ^Index·1.01 stands for (DOMAIN 5, in the counting of DataDog's library). Sorted by Index, no zero counts.
type CueLatencyBin struct {
	// Index of the bin.
	Index int64 `json:"index"`
	// Count of values.
	Count uint32 `json:"count"`
}

// CueTranslationBin is a CueLatencyBin of translation times.
type CueTranslationBin struct {
	// Index of the bin.
	Index int64 `json:"index"`
	// Count of values.
	Count uint32 `json:"count"`
}

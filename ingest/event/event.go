// Package event owns the records that cross Droplift: the six raw kinds that
// clients, catalogues and edges send, the derived records that processors publish,
// their JSON codec, their validation and their JSON Schemas. The struct
// definitions here are the one definition: `go generate` reads them and writes
// the decoder, the encoder and the schemas.
//
// A raw record is one flat JSON object: the envelope's fields and its kind's.
// Null means absent, unknown names are skipped and counted, and the last of two
// equal names wins. What a field allows stands in its rule tag, items apart by
// semicolons:
//
//	required         present and not empty; required=player,checkout: in these kinds only
//	min= max= above= bounds of a number; above excludes the bound
//	default=         what absence means, where that is not the zero value
//	currency         an ISO 4217 code
//	minor            an amount of money in whole units: a fraction is an amount_precision error
//	complete         shares that sum to 10,000 basis points
//	after=           greater than the named field
package event

import "github.com/google/uuid"

//go:generate go run ./gen

// Kind says which record a topic carries.
type Kind uint8

// The raw kinds come from clients, edges and the catalogue; the derived kinds are
// published by processors.
const (
	KindUnknown Kind = iota
	KindPlayer
	KindLatency
	KindCheckout
	KindSubtitle
	KindDrop
	KindFeatures
	KindVelocity
	KindDeadLetter
	KindLate
	KindEstimate
	KindDecision
	KindProgress
	KindInventory
	KindAttribution
	KindLatencySketch
	KindLocalization
	KindLedger
	KindPayable
	KindSettlement
	KindEdgeCost
	KindExperimentArm
	KindScore
	KindExample
	KindModel
	KindRollout
	KindLifetime
)

// Type is what happened, within its kind.
type Type uint8

// Player types, then latency, checkout, subtitle and drop types.
const (
	TypeUnknown Type = iota

	//event:kind player
	SessionStart
	Heartbeat
	SessionEnd
	LandingView
	OfferImpression
	OfferClick
	CTAExposure

	//event:kind latency
	EdgeRequest

	//event:kind checkout
	CheckoutStarted
	CheckoutCompleted
	CheckoutFailed
	CheckoutRefunded
	CheckoutChargeback
	CheckoutSettled
	CheckoutFulfilled
	CheckoutShipped

	//event:kind subtitle
	Cue

	//event:kind drop
	Catalogue

	//event:kind score
	ScoreAnswered
)

// Envelope is common to every raw record. Times are Unix milliseconds UTC.
type Envelope struct {
	// ID is the event's identity (UUIDv7); a resend carries the same ID.
	ID uuid.UUID `json:"id" rule:"required"`
	// Type is what happened; the set depends on the kind.
	Type Type `json:"type" rule:"required"`
	// EventTime is when it happened by the client's clock; it drives every metric.
	EventTime int64 `json:"event_time" rule:"required;min=1"`
	// IngestTime is when the collector took it in; 0 until then, and the broker's timestamp stands in.
	IngestTime int64 `json:"ingest_time" rule:"min=0"`
	// PlayerID is a pseudonym; the partition key of player, latency, checkout and score records. Empty for an edge sample of no known player.
	PlayerID string `json:"player_id" rule:"required=player,checkout,score"`
	// SessionID groups a player's events between session_start and session_end.
	SessionID string `json:"session_id"`
	// DropID names the drop; empty outside one.
	DropID string `json:"drop_id" rule:"required=drop"`
	// CreatorID names the creator whose content or offer this is.
	CreatorID string `json:"creator_id" rule:"required=drop"`
	// Region is the player's region (ISO 3166-1 alpha-2).
	Region string `json:"region"`
	// POP is the edge location that served the player.
	POP string `json:"pop"`
	// Language is the player's language (BCP 47).
	Language string `json:"language"`
	// Device is the player's class of device: phone, tablet, desktop, console, tv.
	Device string `json:"device"`
	// Consent is a bit mask: 1 analytics, 2 personalisation, 4 marketing.
	Consent uint8 `json:"consent" rule:"max=7"`
	// SampleRate is the share of such events that were sent, in (0, 1]; estimates weight by 1/SampleRate. Absent means 1.
	SampleRate float64 `json:"sample_rate" rule:"above=0;max=1;default=1"`
	// Synthetic marks probes and warm-up traffic, which no business metric counts.
	Synthetic bool `json:"synthetic"`
	// SchemaVersion is the version of this definition the sender used. Absent means 1.
	SchemaVersion uint16 `json:"schema_version" rule:"min=1;default=1"`
}

// Player is the payload of player records.
type Player struct {
	// HeartbeatMS is the interval at which this client sends heartbeats; 0 means the default of 30,000.
	HeartbeatMS int64 `json:"heartbeat_ms" rule:"min=0;max=3600000"`
	// SKU is the offered item of offer_impression and offer_click.
	SKU string `json:"sku"`
	// ExperimentID and Variant name the arm that a cta_exposure rendered.
	ExperimentID string `json:"experiment_id"`
	Variant      string `json:"variant"`
}

// Latency is the payload of latency records: one edge request.
type Latency struct {
	// Request says what was fetched; a landing request is the exposure that conversion is joined to.
	Request Request `json:"request" rule:"required"`
	// MS is the client-measured time to first byte in milliseconds.
	MS float64 `json:"ms" rule:"required;min=0;max=600000"`
	// Cache is the edge cache's verdict.
	Cache CacheStatus `json:"cache"`
	// CPUMS is the edge compute time in milliseconds.
	CPUMS float64 `json:"cpu_ms" rule:"min=0"`
	// EgressBytes left the edge for this request.
	EgressBytes int64 `json:"egress_bytes" rule:"min=0"`
}

// Request is what an edge request fetched.
type Request uint8

const (
	RequestUnknown Request = iota
	RequestLanding
	RequestManifest
	RequestSegment
	RequestAPI
	RequestAsset
	RequestCheckout
	RequestProbe
)

// CacheStatus is the edge cache's verdict on a request.
type CacheStatus uint8

const (
	CacheUnknown CacheStatus = iota
	CacheHit
	CacheMiss
	CacheStale
	CacheBypass
)

// Checkout is the payload of checkout records. Amount is in minor units of
// Currency (ISO 4217); it is never negative: the type says which way money went.
type Checkout struct {
	// CheckoutID ties the records of one checkout together, refunds and fulfilment included. On a settled
	// record it is the settlement instruction's id, and player_id the participant that was paid.
	CheckoutID string `json:"checkout_id" rule:"required"`
	// Amount is in minor units; a fraction of a minor unit is refused as amount_precision.
	Amount int64 `json:"amount" rule:"required;min=0;minor"`
	// Currency is an active ISO 4217 code.
	Currency string `json:"currency" rule:"required;currency"`
	// SKU is the item sold.
	SKU string `json:"sku"`
	// Quantity is the number of items. Absent means 1.
	Quantity uint32 `json:"quantity" rule:"default=1"`
	// SplitVersion is the version of the drop's shares this sale is settled by; 0 outside drops.
	SplitVersion uint32 `json:"split_version"`
	// OriginalTime is the purchase's event_time on refunded and chargeback records; 0 otherwise.
	OriginalTime int64 `json:"original_time" rule:"min=0"`
	// Channel is web, app or pos.
	Channel string `json:"channel"`
	// Reason says why a checkout failed or was refunded.
	Reason string `json:"reason"`
	// Seq tells records of one type of one checkout apart: the first refund is 0, the next one 1.
	Seq uint32 `json:"seq"`
	// Tax and Fee are the parts of Amount that are owed as tax and kept by the payment provider.
	Tax int64 `json:"tax" rule:"min=0;minor"`
	Fee int64 `json:"fee" rule:"min=0;minor"`
	// Partner fulfils a physical item: a shop or a warehouse.
	Partner string `json:"partner"`
	// PromisedBy is until when the buyer was promised the item (Unix ms); 0 for no promise.
	PromisedBy int64 `json:"promised_by" rule:"min=0"`
}

// Subtitle is the payload of subtitle records: one expected cue, displayed or missing.
// Positions are milliseconds on the stream's media timeline.
type Subtitle struct {
	// StreamID is the partition key of subtitle records.
	StreamID string `json:"stream_id" rule:"required"`
	// CueID is the number of the cue in the source track: unique within (stream, target language), and the same in every language.
	CueID uint64 `json:"cue_id"`
	// SpeechStartMS is when the speech began on the media timeline.
	SpeechStartMS int64 `json:"speech_start_ms" rule:"required;min=0"`
	// DisplayMS is when the cue appeared on the media timeline; 0 when Missing.
	DisplayMS int64 `json:"display_ms" rule:"min=0"`
	// OnScreenMS is how long it stayed.
	OnScreenMS int64 `json:"on_screen_ms" rule:"min=0"`
	// Graphemes is the text's length in Unicode grapheme clusters, spaces included.
	Graphemes uint32 `json:"graphemes"`
	// Words is the text's length in words; 0 where words mean nothing.
	Words uint32 `json:"words"`
	// TranslationMS is the translation's wall-clock duration.
	TranslationMS int64 `json:"translation_ms" rule:"min=0"`
	// SourceLanguage is spoken, TargetLanguage is displayed (BCP 47).
	SourceLanguage string `json:"source_language" rule:"required"`
	TargetLanguage string `json:"target_language" rule:"required"`
	// Variant is the call-to-action variant that the cue carried, if any.
	Variant string `json:"variant"`
	// Missing marks a cue of the source track that was never shown in the target language.
	Missing bool `json:"missing"`
}

// Drop is the payload of drop records: one catalogue entry, keyed by drop_id,
// the newest version of which replaces the others.
type Drop struct {
	// Name is what people call the drop.
	Name string `json:"name" rule:"required"`
	// Version grows with every change of the entry.
	Version uint32 `json:"version" rule:"min=1;default=1"`
	// StartMS is the actual first availability, EndMS the end: [StartMS, EndMS).
	StartMS int64 `json:"start_ms" rule:"required;min=1"`
	EndMS   int64 `json:"end_ms" rule:"required;min=1;after=start_ms"`
	// Splits are the versioned shares; a checkout names the version it is settled by.
	Splits []Split `json:"splits"`
	// Items are the goods on offer.
	Items []Item `json:"items"`
	// Budget is the edge budget in nano-units of BudgetCurrency; 0 means none.
	Budget         int64  `json:"budget" rule:"min=0;minor"`
	BudgetCurrency string `json:"budget_currency" rule:"currency"`
	// Experiments run during the drop.
	Experiments []Experiment `json:"experiments"`
	// LatencyBudgetMS is the landing latency above which revenue counts as lost; 0 means the default.
	LatencyBudgetMS int64 `json:"latency_budget_ms" rule:"min=0"`
	// CueLatencyMS overrides the cue latency objective; 0 means the default.
	CueLatencyMS int64 `json:"cue_latency_ms" rule:"min=0"`
	// CueCost is the price of one translated cue in nano-units of BudgetCurrency.
	CueCost int64 `json:"cue_cost" rule:"min=0;minor"`
	// AnnouncedMS is when the drop became public (Unix ms); 0 means at its start.
	AnnouncedMS int64 `json:"announced_ms" rule:"min=0"`
	// Followers of the creator whom the announcement could reach; 0 when not known.
	Followers uint64 `json:"followers"`
	// SplitBasis is what the shares divide: all of a sale, or what tax or fee leave of it.
	SplitBasis SplitBasis `json:"split_basis"`
	// Forecast is the expected course of the traffic: shares of the whole by drop age, rising in both; empty
	// means linear in time.
	Forecast []ForecastPoint `json:"forecast"`
}

// SplitBasis is what a drop's shares divide.
type SplitBasis uint8

const (
	// SplitBasisGross divides the whole amount: participants bear tax and fee in their share.
	SplitBasisGross SplitBasis = iota
	// SplitBasisNetOfTax divides what is left without the tax.
	SplitBasisNetOfTax
	// SplitBasisNetOfFee divides what is left without the tax and the payment provider's fee.
	SplitBasisNetOfFee
)

// ForecastPoint is one point of a drop's expected course.
type ForecastPoint struct {
	// AgeMS is the drop's age.
	AgeMS int64 `json:"age_ms" rule:"required;min=1"`
	// BPS is the share of all traffic expected up to there, in basis points.
	BPS uint32 `json:"bps" rule:"required;max=10000"`
}

// Split is one version of a drop's shares; they sum to 10,000 basis points.
type Split struct {
	// Version is what a checkout's split_version names.
	Version uint32 `json:"version" rule:"required;min=1"`
	// Shares sum to 10,000 basis points.
	Shares []Share `json:"shares" rule:"complete"`
}

// Share is a participant's part in basis points; the platform is a participant.
type Share struct {
	// Participant receives the share; the platform is one.
	Participant string `json:"participant" rule:"required"`
	// BPS is the share in basis points.
	BPS uint32 `json:"bps" rule:"max=10000"`
	// Hold blocks payouts to the participant, not accrual: its identity is not confirmed yet, say.
	Hold bool `json:"hold"`
}

// Item is one limited good. Price is in minor units; Inventory 0 means unlimited.
type Item struct {
	// SKU names the item.
	SKU string `json:"sku" rule:"required"`
	// Price is in minor units of Currency.
	Price int64 `json:"price" rule:"min=0;minor"`
	// Currency is an active ISO 4217 code.
	Currency string `json:"currency" rule:"required;currency"`
	// Inventory is how many there are; 0 means unlimited.
	Inventory uint64 `json:"inventory"`
}

// Experiment is one randomised experiment of a drop.
type Experiment struct {
	// ID names the experiment.
	ID string `json:"id" rule:"required"`
	// Salt keeps the assignments of experiments apart.
	Salt string `json:"salt" rule:"required"`
	// TrafficBPS is the share of players enrolled, in basis points.
	TrafficBPS uint32 `json:"traffic_bps" rule:"max=10000"`
	// Variants are the arms; the first one is the control.
	Variants []Variant `json:"variants"`
	// Language restricts the experiment to players of one language; empty means all.
	Language string `json:"language"`
	// Holdout names the variant that is not offered the drop's goods, which makes the experiment measure the
	// offer itself; empty for other experiments.
	Holdout string `json:"holdout"`
	// EffectSD is the plausible effect on conversion, as a standard deviation of the difference of rates, fixed before the start. Absent means 0.01.
	EffectSD float64 `json:"effect_sd" rule:"above=0;max=1;default=0.01"`
	// Layer names a group of the drop's experiments that exclude each other: a player takes part in one of them at
	// most. Their shares of traffic follow each other in the order of the catalogue. Empty for none.
	Layer string `json:"layer"`
}

// Variant is an arm and its share of the enrolled, in basis points.
type Variant struct {
	// Name is what cta_exposure reports as its variant.
	Name string `json:"name" rule:"required"`
	// BPS is the arm's share of the enrolled, in basis points.
	BPS uint32 `json:"bps" rule:"max=10000"`
}

// Event is one raw record. Only the payload of Kind is meaningful. Strings of a
// decoded Event may alias the decoded bytes: clone what must outlive them. An
// Event is reusable: decoding resets it and keeps its slices' capacity.
type Event struct {
	Kind Kind
	Envelope
	Player   Player
	Latency  Latency
	Checkout Checkout
	Subtitle Subtitle
	Drop     Drop
	Score    Score
}

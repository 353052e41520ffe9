package event

// Score is the payload of score records: one answer of an edge about one player. EventTime is the scoring time t0; the
// vector is kept as it was scored, because labels come days later (DOMAIN 1.4).
type Score struct {
	// Model and ModelVersion name the champion that answered; the version is empty on a degraded answer that no model gave.
	Model        string `json:"model" rule:"required"`
	ModelVersion string `json:"model_version"`
	// FeatureHash is the hash of the feature set, FeatureRevision and FeatureAsOf those of the player's features; 0 for features that the request brought.
	FeatureHash     string `json:"feature_hash"`
	FeatureRevision uint64 `json:"feature_revision"`
	FeatureAsOf     int64  `json:"feature_as_of" rule:"min=0"`
	// Vector is the whole feature vector in the set's order, −1 for missing; empty on a degraded answer.
	Vector []float64 `json:"vector"`
	// P is the calibrated probability that was answered.
	P float64 `json:"p" rule:"required;min=0;max=1"`
	// ShadowVersion names the shadow model that scored the same vector, ShadowP its probability; no shadow where the version is empty.
	ShadowVersion string  `json:"shadow_version"`
	ShadowP       float64 `json:"shadow_p" rule:"min=0;max=1"`
	// ChampionUS and ShadowUS are how long each took (µs).
	ChampionUS float64 `json:"champion_us" rule:"min=0"`
	ShadowUS   float64 `json:"shadow_us" rule:"min=0"`
	// Degraded says why no model answered; empty where one did.
	Degraded string `json:"degraded"`
	// Offer is the offer that was made, as a sku of the drop; empty for none.
	Offer string `json:"offer"`
	// Discount of the offer in basis points of the price.
	Discount uint32 `json:"discount" rule:"max=10000"`
	// Propensity is the probability with which this choice was drawn, nothing included; 0 where nothing was to be chosen.
	Propensity float64 `json:"propensity" rule:"min=0;max=1"`
	// Holdout marks the players who permanently get no offer, so that the uplift of offers stays measurable; Eligible
	// those whom the offers were for, held out or not.
	Holdout  bool `json:"holdout"`
	Eligible bool `json:"eligible"`
	// Prefetch counts the assets that were named for prefetching.
	Prefetch uint32 `json:"prefetch"`
}

// Example is a score joined to what became of it. Key: model|player_id|scored_at: one per model, player and scoring time.
// Published once, when the label is known: not before Watermark ≥ LabelTo plus the allowed lateness.
type Example struct {
	// Model, ModelVersion, PlayerID and ScoredAt (t0, Unix ms) name the score.
	Model        string `json:"model" rule:"required"`
	ModelVersion string `json:"model_version"`
	PlayerID     string `json:"player_id" rule:"required"`
	ScoredAt     int64  `json:"scored_at" rule:"required"`
	// DropID of the score; empty outside one.
	DropID string `json:"drop_id"`
	// Partition of the input, and its Watermark when published.
	Partition int32 `json:"partition" rule:"required"`
	Watermark int64 `json:"watermark" rule:"required"`
	// Churned is the label: no session began in [LabelFrom, LabelTo).
	Churned   bool  `json:"churned"`
	LabelFrom int64 `json:"label_from" rule:"required"`
	LabelTo   int64 `json:"label_to" rule:"required"`
	// FeatureHash and Vector are the score's, −1 for missing.
	FeatureHash string    `json:"feature_hash"`
	Vector      []float64 `json:"vector"`
	// P and ShadowP are what was answered, ShadowVersion says by whom.
	P             float64 `json:"p" rule:"min=0;max=1"`
	ShadowVersion string  `json:"shadow_version"`
	ShadowP       float64 `json:"shadow_p" rule:"min=0;max=1"`
	// Offer, Discount (basis points), Propensity, Holdout and Eligible are the score's.
	Offer      string  `json:"offer"`
	Discount   uint32  `json:"discount"`
	Propensity float64 `json:"propensity" rule:"min=0;max=1"`
	Holdout    bool    `json:"holdout"`
	Eligible   bool    `json:"eligible"`
	// Converted says whether a checkout of the player completed within the outcome window after ScoredAt, in the drop where there is one.
	Converted bool `json:"converted"`
	// Net is what those checkouts came to, less what was returned until published, in minor units of Currency, the first one's.
	Net      int64  `json:"net"`
	Currency string `json:"currency" rule:"currency"`
}

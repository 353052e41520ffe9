package event

// Model is one published model. Key: name|version; an artefact never changes under its version.
type Model struct {
	// Name and Version are the artefact's.
	Name    string `json:"name" rule:"required"`
	Version string `json:"version" rule:"required"`
	// Kind is how it was made: logistic, ftrl, lightgbm, xgboost.
	Kind string `json:"kind" rule:"required"`
	// PublishedAt is when (Unix ms).
	PublishedAt int64 `json:"published_at" rule:"required;min=1"`
	// FeatureHash and Checksum are the artefact's, repeated so that it need not be opened to be compared.
	FeatureHash string `json:"feature_hash" rule:"required"`
	Checksum    string `json:"checksum" rule:"required"`
	// Artefact is the file, compressed with gzip.
	Artefact []byte `json:"artefact" rule:"required"`
}

// Rollout says which versions of a model answer. Key: name; the newest record rules.
type Rollout struct {
	// Name of the model.
	Name string `json:"name" rule:"required"`
	// Champion answers, Shadow scores the same vectors unseen; either may be empty.
	Champion string `json:"champion"`
	Shadow   string `json:"shadow"`
	// Previous is the champion before, to which a rollback returns.
	Previous string `json:"previous"`
	// Action is what changed: promote, shadow, rollback.
	Action string `json:"action" rule:"required"`
	// At is when (Unix ms), Reason why, in words; it names the gates that were passed.
	At     int64  `json:"at" rule:"required;min=1"`
	Reason string `json:"reason"`
}

// Lifetime is one predicted lifetime value. Key: model|player_id|currency|creator_id; newer revisions replace older ones.
type Lifetime struct {
	// Model is bgbb or bgnbd; Fit identifies the fit: its as-of time and parameters.
	Model string `json:"model" rule:"required"`
	Fit   string `json:"fit" rule:"required"`
	// PlayerID is the pseudonym; CreatorID restricts opportunities and purchases to one creator, empty for all.
	PlayerID  string `json:"player_id" rule:"required"`
	CreatorID string `json:"creator_id"`
	// Currency of Value and MeanSpend (ISO 4217).
	Currency string `json:"currency" rule:"currency"`
	// Revision grows with every fit: its time (Unix ms).
	Revision uint64 `json:"revision" rule:"required"`
	// AsOf is up to when purchases were seen (Unix ms).
	AsOf int64 `json:"as_of" rule:"required"`
	// FirstPurchase dates the player's cohort (Unix ms).
	FirstPurchase int64 `json:"first_purchase" rule:"required"`
	// Repeats is x; LastRepeat is t_x and Age is T or n: in weeks for bgnbd, in eligible drops for bgbb.
	Repeats    uint32  `json:"repeats"`
	LastRepeat float64 `json:"last_repeat"`
	Age        float64 `json:"age"`
	// Horizon is how far the prediction reaches, in weeks or eligible drops.
	Horizon float64 `json:"horizon" rule:"required"`
	// PAlive is the probability of still being a customer; for a player without a repeat it is 1 under bgnbd by construction.
	PAlive float64 `json:"p_alive" rule:"required;min=0;max=1"`
	// Purchases expected within the horizon, MeanSpend expected per purchase and Value, their product discounted, in minor units.
	Purchases float64 `json:"purchases" rule:"min=0"`
	MeanSpend float64 `json:"mean_spend"`
	Value     float64 `json:"value"`
}

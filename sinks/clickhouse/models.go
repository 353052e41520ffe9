package clickhouse

import (
	"slices"

	"github.com/droplift/droplift/ingest/event"
)

func scoreColumns(c *columns) func(*event.Event) {
	model := c.label("model")
	modelVersion := c.label("model_version")
	featureHash := c.label("feature_hash")
	featureRevision := newVector[uint64](c, "feature_revision", "UInt64")
	featureAsOf := c.moment("feature_as_of")
	vector := newVector[[]float64](c, "vector", "Array(Float64)")
	p := newVector[float64](c, "p", "Float64")
	shadowVersion := c.label("shadow_version")
	shadowP := newVector[float64](c, "shadow_p", "Float64")
	championUS := newVector[float64](c, "champion_us", "Float64")
	shadowUS := newVector[float64](c, "shadow_us", "Float64")
	degraded := c.label("degraded")
	offer := c.label("offer")
	discount := newVector[uint32](c, "discount", "UInt32")
	propensity := newVector[float64](c, "propensity", "Float64")
	holdout := newVector[bool](c, "holdout", "Bool")
	eligible := newVector[bool](c, "eligible", "Bool")
	prefetch := newVector[uint32](c, "prefetch", "UInt32")
	return func(ev *event.Event) {
		v := &ev.Score
		model.add(v.Model)
		modelVersion.add(v.ModelVersion)
		featureHash.add(v.FeatureHash)
		featureRevision.add(v.FeatureRevision)
		featureAsOf.add(v.FeatureAsOf)
		vector.add(slices.Clone(v.Vector))
		p.add(v.P)
		shadowVersion.add(v.ShadowVersion)
		shadowP.add(v.ShadowP)
		championUS.add(v.ChampionUS)
		shadowUS.add(v.ShadowUS)
		degraded.add(v.Degraded)
		offer.add(v.Offer)
		discount.add(v.Discount)
		propensity.add(v.Propensity)
		holdout.add(v.Holdout)
		eligible.add(v.Eligible)
		prefetch.add(v.Prefetch)
	}
}

func newExamples() *table {
	t := &table{name: "examples"}
	c := &t.columns
	model := c.label("model")
	modelVersion := c.label("model_version")
	player := c.text("player_id")
	scoredAt := c.moment("scored_at")
	drop := c.label("drop_id")
	partition := newVector[uint32](c, "partition", "UInt32")
	watermark := c.moment("watermark")
	churned := newVector[bool](c, "churned", "Bool")
	labelFrom := c.moment("label_from")
	labelTo := c.moment("label_to")
	featureHash := c.label("feature_hash")
	vector := newVector[[]float64](c, "vector", "Array(Float64)")
	p := newVector[float64](c, "p", "Float64")
	shadowVersion := c.label("shadow_version")
	shadowP := newVector[float64](c, "shadow_p", "Float64")
	offer := c.label("offer")
	discount := newVector[uint32](c, "discount", "UInt32")
	propensity := newVector[float64](c, "propensity", "Float64")
	holdout := newVector[bool](c, "holdout", "Bool")
	eligible := newVector[bool](c, "eligible", "Bool")
	converted := newVector[bool](c, "converted", "Bool")
	net := newVector[int64](c, "net", "Int64")
	currency := c.label("currency")
	t.addPosition(c)

	var decoder event.Decoder
	var v event.Example
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Example(r.Value, &v); err != nil {
			return 0, err
		}
		model.add(v.Model)
		modelVersion.add(v.ModelVersion)
		player.add(v.PlayerID)
		scoredAt.add(v.ScoredAt)
		drop.add(v.DropID)
		partition.add(uint32(v.Partition))
		watermark.add(v.Watermark)
		churned.add(v.Churned)
		labelFrom.add(v.LabelFrom)
		labelTo.add(v.LabelTo)
		featureHash.add(v.FeatureHash)
		vector.add(slices.Clone(v.Vector))
		p.add(v.P)
		shadowVersion.add(v.ShadowVersion)
		shadowP.add(v.ShadowP)
		offer.add(v.Offer)
		discount.add(v.Discount)
		propensity.add(v.Propensity)
		holdout.add(v.Holdout)
		eligible.add(v.Eligible)
		converted.add(v.Converted)
		net.add(v.Net)
		currency.add(v.Currency)
		return min(v.ScoredAt, r.Timestamp), nil
	}
	return t
}

func newModels() *table {
	t := &table{name: "models"}
	c := &t.columns
	name := c.label("name")
	version := c.text("version")
	kind := c.label("kind")
	publishedAt := c.moment("published_at")
	featureHash := c.label("feature_hash")
	checksum := c.text("checksum")
	artefact := c.text("artefact")
	t.addPosition(c)

	var decoder event.Decoder
	var v event.Model
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Model(r.Value, &v); err != nil {
			return 0, err
		}
		file, err := v.File()
		if err != nil || len(file) > event.MaxArtefactBytes {
			return 0, &event.Error{Reason: event.ReasonMalformed, Field: "artefact"}
		}
		name.add(v.Name)
		version.add(v.Version)
		kind.add(v.Kind)
		publishedAt.add(v.PublishedAt)
		featureHash.add(v.FeatureHash)
		checksum.add(v.Checksum)
		artefact.add(string(file))
		return min(v.PublishedAt, r.Timestamp), nil
	}
	return t
}

func newRollouts() *table {
	t := &table{name: "rollouts"}
	c := &t.columns
	name := c.label("name")
	champion := c.text("champion")
	shadow := c.text("shadow")
	previous := c.text("previous")
	action := c.label("action")
	at := c.moment("at")
	reason := c.text("reason")
	t.addPosition(c)

	var decoder event.Decoder
	var v event.Rollout
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Rollout(r.Value, &v); err != nil {
			return 0, err
		}
		name.add(v.Name)
		champion.add(v.Champion)
		shadow.add(v.Shadow)
		previous.add(v.Previous)
		action.add(v.Action)
		at.add(v.At)
		reason.add(v.Reason)
		return min(v.At, r.Timestamp), nil
	}
	return t
}

func newLifetimes() *table {
	t := &table{name: "lifetimes", replaces: true}
	c := &t.columns
	model := c.label("model")
	fit := c.label("fit")
	player := c.text("player_id")
	creator := c.label("creator_id")
	currency := c.label("currency")
	revision := newVector[uint64](c, "revision", "UInt64")
	asOf := c.moment("as_of")
	firstPurchase := c.moment("first_purchase")
	repeats := newVector[uint32](c, "repeats", "UInt32")
	lastRepeat := newVector[float64](c, "last_repeat", "Float64")
	age := newVector[float64](c, "age", "Float64")
	horizon := newVector[float64](c, "horizon", "Float64")
	alive := newVector[float64](c, "p_alive", "Float64")
	purchases := newVector[float64](c, "purchases", "Float64")
	meanSpend := newVector[float64](c, "mean_spend", "Float64")
	value := newVector[float64](c, "value", "Float64")
	t.addPosition(c)

	var decoder event.Decoder
	var v event.Lifetime
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Lifetime(r.Value, &v); err != nil {
			return 0, err
		}
		model.add(v.Model)
		fit.add(v.Fit)
		player.add(v.PlayerID)
		creator.add(v.CreatorID)
		currency.add(v.Currency)
		revision.add(v.Revision)
		asOf.add(v.AsOf)
		firstPurchase.add(v.FirstPurchase)
		repeats.add(v.Repeats)
		lastRepeat.add(v.LastRepeat)
		age.add(v.Age)
		horizon.add(v.Horizon)
		alive.add(v.PAlive)
		purchases.add(v.Purchases)
		meanSpend.add(v.MeanSpend)
		value.add(v.Value)
		return min(int64(v.Revision), r.Timestamp), nil
	}
	return t
}

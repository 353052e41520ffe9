package clickhouse

import (
	"strings"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

// table is where the records of one kind go: its columns, and how a record
// becomes a row of them. A table belongs to one batch at a time: it holds the rows.
type table struct {
	name    string
	columns columns
	// add decodes r and appends one row, or says why not. newest is when it happened, for the freshness metric.
	add func(r *event.Record) (newest int64, refused *event.Error)
	// replaces says that the table's engine may drop rows in favour of newer ones, so that stored rows cannot be counted.
	replaces bool

	position position
}

// position says where a record stood in Kafka. Every table ends with it.
type position struct {
	partition *vector[uint32]
	offset    *vector[uint64]
	time      *moments
}

// reset forgets the rows.
func (t *table) reset() {
	for _, c := range t.columns {
		c.reset()
	}
}

func (t *table) addPosition(c *columns) {
	t.position = position{
		partition: newVector[uint32](c, "kafka_partition", "UInt32"),
		offset:    newVector[uint64](c, "kafka_offset", "UInt64"),
		time:      c.moment("kafka_time"),
	}
}

// newTable makes the empty table of kind, nil for a kind that is not stored.
func newTable(kind event.Kind) *table {
	switch kind {
	case event.KindPlayer:
		return newRaw(kind, "player_events", playerColumns)
	case event.KindLatency:
		return newRaw(kind, "latency_events", latencyColumns)
	case event.KindCheckout:
		return newRaw(kind, "checkout_events", checkoutColumns)
	case event.KindSubtitle:
		return newRaw(kind, "subtitle_events", subtitleColumns)
	case event.KindDrop:
		t := newRaw(kind, "drops", dropColumns)
		t.replaces = true
		return t
	case event.KindFeatures:
		return newFeatures()
	case event.KindVelocity:
		return newVelocity()
	case event.KindDeadLetter:
		return newDeadLetters()
	case event.KindLate:
		return newLate()
	case event.KindEstimate:
		return newEstimates()
	case event.KindDecision:
		return newDecisions()
	case event.KindLocalization:
		return newLocalization()
	case event.KindAttribution:
		return newAttribution()
	case event.KindLatencySketch:
		return newLatencySketches()
	case event.KindLedger:
		return newLedger()
	case event.KindSettlement:
		return newSettlements()
	case event.KindInventory:
		return newInventory()
	case event.KindExperimentArm:
		return newExperiments()
	case event.KindEdgeCost:
		return newEdgeCost()
	case event.KindScore:
		return newRaw(kind, "score_events", scoreColumns)
	case event.KindExample:
		return newExamples()
	case event.KindModel:
		return newModels()
	case event.KindRollout:
		return newRollouts()
	case event.KindLifetime:
		return newLifetimes()
	}
	return nil
}

// partials says whether the rows of a kind can wait: everything but what happened and the velocity of it.
func partials(kind event.Kind) bool { return !kind.Raw() && kind != event.KindVelocity }

// newRaw makes the table of a raw kind: the envelope, the payload's columns, the position.
func newRaw(kind event.Kind, name string, payload func(*columns) func(*event.Event)) *table {
	t := &table{name: name}
	envelope := envelopeColumns(&t.columns)
	add := payload(&t.columns)
	t.addPosition(&t.columns)
	var decoder event.Decoder
	var ev event.Event
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Decode(kind, r.Value, &ev); err != nil {
			return 0, err
		}
		if ev.IngestTime == 0 {
			ev.IngestTime = r.Timestamp
		}
		envelope(&ev.Envelope)
		add(&ev)
		return min(ev.EventTime, ev.IngestTime), nil
	}
	return t
}

func envelopeColumns(c *columns) func(*event.Envelope) {
	id := newVector[uuid.UUID](c, "id", "UUID")
	kind := c.label("type")
	eventTime := c.moment("event_time")
	ingestTime := c.moment("ingest_time")
	player := c.text("player_id")
	session := c.text("session_id")
	drop := c.label("drop_id")
	creator := c.label("creator_id")
	region := c.label("region")
	pop := c.label("pop")
	language := c.label("language")
	device := c.label("device")
	consent := newVector[uint8](c, "consent", "UInt8")
	sampleRate := newVector[float64](c, "sample_rate", "Float64")
	synthetic := newVector[bool](c, "synthetic", "Bool")
	version := newVector[uint16](c, "schema_version", "UInt16")
	return func(e *event.Envelope) {
		id.add(e.ID)
		kind.add(e.Type.String())
		eventTime.add(e.EventTime)
		ingestTime.add(e.IngestTime)
		player.add(e.PlayerID)
		session.add(e.SessionID)
		drop.add(e.DropID)
		creator.add(e.CreatorID)
		region.add(e.Region)
		pop.add(e.POP)
		language.add(e.Language)
		device.add(e.Device)
		consent.add(e.Consent)
		sampleRate.add(e.SampleRate)
		synthetic.add(e.Synthetic)
		version.add(e.SchemaVersion)
	}
}

func playerColumns(c *columns) func(*event.Event) {
	heartbeat := newVector[int64](c, "heartbeat_ms", "Int64")
	sku := c.label("sku")
	experiment := c.label("experiment_id")
	variant := c.label("variant")
	return func(ev *event.Event) {
		p := &ev.Player
		heartbeat.add(p.HeartbeatMS)
		sku.add(p.SKU)
		experiment.add(p.ExperimentID)
		variant.add(p.Variant)
	}
}

func latencyColumns(c *columns) func(*event.Event) {
	request := c.label("request")
	ms := newVector[float64](c, "ms", "Float64")
	cache := c.label("cache")
	cpu := newVector[float64](c, "cpu_ms", "Float64")
	egress := newVector[int64](c, "egress_bytes", "Int64")
	return func(ev *event.Event) {
		l := &ev.Latency
		request.add(l.Request.String())
		ms.add(l.MS)
		cache.add(l.Cache.String())
		cpu.add(l.CPUMS)
		egress.add(l.EgressBytes)
	}
}

func checkoutColumns(c *columns) func(*event.Event) {
	checkout := c.text("checkout_id")
	amount := newVector[int64](c, "amount", "Int64")
	currency := c.label("currency")
	sku := c.label("sku")
	quantity := newVector[uint32](c, "quantity", "UInt32")
	split := newVector[uint32](c, "split_version", "UInt32")
	original := c.moment("original_time")
	channel := c.label("channel")
	reason := c.label("reason")
	seq := newVector[uint32](c, "seq", "UInt32")
	tax := newVector[int64](c, "tax", "Int64")
	fee := newVector[int64](c, "fee", "Int64")
	partner := c.label("partner")
	promised := c.moment("promised_by")
	return func(ev *event.Event) {
		k := &ev.Checkout
		checkout.add(k.CheckoutID)
		amount.add(k.Amount)
		currency.add(k.Currency)
		sku.add(k.SKU)
		quantity.add(k.Quantity)
		split.add(k.SplitVersion)
		original.add(k.OriginalTime)
		channel.add(k.Channel)
		reason.add(k.Reason)
		seq.add(k.Seq)
		tax.add(k.Tax)
		fee.add(k.Fee)
		partner.add(k.Partner)
		promised.add(k.PromisedBy)
	}
}

func subtitleColumns(c *columns) func(*event.Event) {
	stream := c.label("stream_id")
	cue := newVector[uint64](c, "cue_id", "UInt64")
	speech := newVector[int64](c, "speech_start_ms", "Int64")
	display := newVector[int64](c, "display_ms", "Int64")
	onScreen := newVector[int64](c, "on_screen_ms", "Int64")
	graphemes := newVector[uint32](c, "graphemes", "UInt32")
	words := newVector[uint32](c, "words", "UInt32")
	translation := newVector[int64](c, "translation_ms", "Int64")
	source := c.label("source_language")
	target := c.label("target_language")
	variant := c.label("variant")
	missing := newVector[bool](c, "missing", "Bool")
	return func(ev *event.Event) {
		s := &ev.Subtitle
		stream.add(s.StreamID)
		cue.add(s.CueID)
		speech.add(s.SpeechStartMS)
		display.add(s.DisplayMS)
		onScreen.add(s.OnScreenMS)
		graphemes.add(s.Graphemes)
		words.add(s.Words)
		translation.add(s.TranslationMS)
		source.add(s.SourceLanguage)
		target.add(s.TargetLanguage)
		variant.add(s.Variant)
		missing.add(s.Missing)
	}
}

func dropColumns(c *columns) func(*event.Event) {
	name := c.text("name")
	version := newVector[uint32](c, "version", "UInt32")
	starts := c.moment("starts")
	ends := c.moment("ends")
	splitVersion := newVector[[]uint32](c, "split_version", "Array(UInt32)")
	splitParticipant := newVector[[][]string](c, "split_participant", "Array(Array(String))")
	splitBPS := newVector[[][]uint32](c, "split_bps", "Array(Array(UInt32))")
	itemSKU := newVector[[]string](c, "item_sku", "Array(String)")
	itemPrice := newVector[[]int64](c, "item_price", "Array(Int64)")
	itemCurrency := newVector[[]string](c, "item_currency", "Array(String)")
	itemInventory := newVector[[]uint64](c, "item_inventory", "Array(UInt64)")
	budget := newVector[int64](c, "budget", "Int64")
	budgetCurrency := c.label("budget_currency")
	experiment := newVector[[]string](c, "experiment_id", "Array(String)")
	salt := newVector[[]string](c, "experiment_salt", "Array(String)")
	traffic := newVector[[]uint32](c, "experiment_traffic_bps", "Array(UInt32)")
	variant := newVector[[][]string](c, "experiment_variant", "Array(Array(String))")
	variantBPS := newVector[[][]uint32](c, "experiment_variant_bps", "Array(Array(UInt32))")
	latencyBudget := newVector[int64](c, "latency_budget_ms", "Int64")
	experimentLanguage := newVector[[]string](c, "experiment_language", "Array(String)")
	holdout := newVector[[]string](c, "experiment_holdout", "Array(String)")
	effectSD := newVector[[]float64](c, "experiment_effect_sd", "Array(Float64)")
	layer := newVector[[]string](c, "experiment_layer", "Array(String)")
	cueLatency := newVector[int64](c, "cue_latency_ms", "Int64")
	cueCost := newVector[int64](c, "cue_cost", "Int64")
	announced := c.moment("announced")
	followers := newVector[uint64](c, "followers", "UInt64")
	basis := c.label("split_basis")
	forecastAge := newVector[[]int64](c, "forecast_age_ms", "Array(Int64)")
	forecastBPS := newVector[[]uint32](c, "forecast_bps", "Array(UInt32)")
	return func(ev *event.Event) {
		d := &ev.Drop
		name.add(d.Name)
		version.add(d.Version)
		starts.add(d.StartMS)
		ends.add(d.EndMS)
		splitVersion.add(each(d.Splits, func(s event.Split) uint32 { return s.Version }))
		splitParticipant.add(each(d.Splits, func(s event.Split) []string {
			return each(s.Shares, func(s event.Share) string { return strings.Clone(s.Participant) })
		}))
		splitBPS.add(each(d.Splits, func(s event.Split) []uint32 {
			return each(s.Shares, func(s event.Share) uint32 { return s.BPS })
		}))
		itemSKU.add(each(d.Items, func(i event.Item) string { return strings.Clone(i.SKU) }))
		itemPrice.add(each(d.Items, func(i event.Item) int64 { return i.Price }))
		itemCurrency.add(each(d.Items, func(i event.Item) string { return strings.Clone(i.Currency) }))
		itemInventory.add(each(d.Items, func(i event.Item) uint64 { return i.Inventory }))
		budget.add(d.Budget)
		budgetCurrency.add(d.BudgetCurrency)
		experiment.add(each(d.Experiments, func(x event.Experiment) string { return strings.Clone(x.ID) }))
		salt.add(each(d.Experiments, func(x event.Experiment) string { return strings.Clone(x.Salt) }))
		traffic.add(each(d.Experiments, func(x event.Experiment) uint32 { return x.TrafficBPS }))
		variant.add(each(d.Experiments, func(x event.Experiment) []string {
			return each(x.Variants, func(v event.Variant) string { return strings.Clone(v.Name) })
		}))
		variantBPS.add(each(d.Experiments, func(x event.Experiment) []uint32 {
			return each(x.Variants, func(v event.Variant) uint32 { return v.BPS })
		}))
		latencyBudget.add(d.LatencyBudgetMS)
		experimentLanguage.add(each(d.Experiments, func(x event.Experiment) string { return strings.Clone(x.Language) }))
		holdout.add(each(d.Experiments, func(x event.Experiment) string { return strings.Clone(x.Holdout) }))
		effectSD.add(each(d.Experiments, func(x event.Experiment) float64 { return x.EffectSD }))
		layer.add(each(d.Experiments, func(x event.Experiment) string { return strings.Clone(x.Layer) }))
		cueLatency.add(d.CueLatencyMS)
		cueCost.add(d.CueCost)
		announced.add(d.AnnouncedMS)
		followers.add(d.Followers)
		basis.add(d.SplitBasis.String())
		forecastAge.add(each(d.Forecast, func(p event.ForecastPoint) int64 { return p.AgeMS }))
		forecastBPS.add(each(d.Forecast, func(p event.ForecastPoint) uint32 { return p.BPS }))
	}
}

// each maps a slice of the decoder's, which is reused, to one of ours.
func each[S, T any](from []S, field func(S) T) []T {
	to := make([]T, 0, len(from))
	for _, s := range from {
		to = append(to, field(s))
	}
	return to
}

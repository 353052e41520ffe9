package clickhouse

import (
	"strings"

	"github.com/droplift/droplift/ingest/event"
)

// windowNames are the churn windows in the order of event.Features' arrays.
var windowNames = [event.NumWindows]string{"1h", "24h", "7d", "28d"}

func newFeatures() *table {
	t := &table{name: "features"}
	c := &t.columns
	player := c.text("player_id")
	revision := newVector[uint64](c, "revision", "UInt64")
	asOf := c.moment("as_of")
	watermark := newOptional[int64](c, "watermark", "DateTime64(3, 'UTC')")
	maturity := c.label("maturity")
	sessions := perWindow[uint32](c, "sessions", "UInt32")
	activeDays := perWindow[uint32](c, "active_days", "UInt32")
	playtime := perWindow[uint32](c, "playtime_s", "UInt32")
	landings := perWindow[uint32](c, "landings", "UInt32")
	impressions := perWindow[uint32](c, "impressions", "UInt32")
	clicks := perWindow[uint32](c, "clicks", "UInt32")
	checkouts := perWindow[uint32](c, "checkouts", "UInt32")
	netSpend := perWindow[int64](c, "net_spend", "Int64")
	creators := perWindow[uint32](c, "creators", "UInt32")
	drops := perWindow[uint32](c, "drops", "UInt32")
	latencyMean := perWindowOptional(c, "latency_mean_ms")
	latencyMax := perWindowOptional(c, "latency_max_ms")
	currency := c.label("spend_currency")
	foreign := newVector[uint32](c, "foreign_checkouts", "UInt32")
	first := c.moment("first_activity")
	last := c.moment("last_activity")
	total := newVector[uint32](c, "sessions_total", "UInt32")
	gapMean := newOptional[float64](c, "gap_mean_s", "Float64")
	gapVar := newOptional[float64](c, "gap_var_s2", "Float64")
	t.addPosition(c)

	var decoder event.Decoder
	var f event.Features
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Features(r.Value, &f); err != nil {
			return 0, err
		}
		player.add(f.PlayerID)
		revision.add(f.Revision)
		asOf.add(f.AsOf)
		watermark.add(f.Watermark, f.Watermark >= 0)
		maturity.add(f.Maturity.String())
		for w := range event.NumWindows {
			sessions[w].add(f.Sessions[w])
			activeDays[w].add(f.ActiveDays[w])
			playtime[w].add(f.PlaytimeS[w])
			landings[w].add(f.Landings[w])
			impressions[w].add(f.Impressions[w])
			clicks[w].add(f.Clicks[w])
			checkouts[w].add(f.Checkouts[w])
			netSpend[w].add(f.NetSpend[w])
			creators[w].add(f.Creators[w])
			drops[w].add(f.Drops[w])
			latencyMean[w].add(f.LatencyMeanMS[w], f.LatencyMeanMS[w] >= 0)
			latencyMax[w].add(f.LatencyMaxMS[w], f.LatencyMaxMS[w] >= 0)
		}
		currency.add(f.SpendCurrency)
		foreign.add(f.ForeignCheckouts)
		first.add(f.FirstActivity)
		last.add(f.LastActivity)
		total.add(f.SessionsTotal)
		gapMean.add(f.GapMeanS, f.GapMeanS >= 0)
		gapVar.add(f.GapVarS2, f.GapVarS2 >= 0)
		return min(f.AsOf, r.Timestamp), nil
	}
	return t
}

func perWindow[T any](c *columns, name, kind string) (vectors [event.NumWindows]*vector[T]) {
	for w, window := range windowNames {
		vectors[w] = newVector[T](c, name+"_"+window, kind)
	}
	return vectors
}

func perWindowOptional(c *columns, name string) (optionals [event.NumWindows]*optional[float64]) {
	for w, window := range windowNames {
		optionals[w] = newOptional[float64](c, name+"_"+window, "Float64")
	}
	return optionals
}

// stepNames are the funnel's steps in the order of event.Velocity's arrays.
var stepNames = [event.NumSteps]string{"landing", "impression", "click", "started", "completed"}

func newVelocity() *table {
	t := &table{name: "velocity", replaces: true}
	c := &t.columns
	drop := c.label("drop_id")
	pop := c.label("pop")
	partition := newVector[uint32](c, "partition", "UInt32")
	start := c.moment("pane_start")
	width := newVector[uint32](c, "pane_ms", "UInt32")
	revision := newVector[uint64](c, "revision", "UInt64")
	watermark := newOptional[int64](c, "watermark", "DateTime64(3, 'UTC')")
	maturity := c.label("maturity")
	var events, players [event.NumSteps]*vector[uint32]
	for k, step := range stepNames {
		events[k] = newVector[uint32](c, step+"_events", "UInt32")
	}
	for k, step := range stepNames {
		players[k] = newVector[uint32](c, step+"_players", "UInt32")
	}
	gap := newVector[uint32](c, "funnel_gap", "UInt32")
	failed := newVector[uint32](c, "failed", "UInt32")
	refunded := newVector[uint32](c, "refunded", "UInt32")
	chargeback := newVector[uint32](c, "chargeback", "UInt32")
	conversions := newVector[uint32](c, "conversions", "UInt32")
	ttcPanes := newVector[[]uint32](c, "ttc_panes", "Array(UInt32)")
	ttcCount := newVector[[]uint32](c, "ttc_count", "Array(UInt32)")
	currency := newVector[[]string](c, "money_currency", "Array(String)")
	gross := newVector[[]int64](c, "money_gross", "Array(Int64)")
	refunds := newVector[[]int64](c, "money_refunds", "Array(Int64)")
	chargebacks := newVector[[]int64](c, "money_chargebacks", "Array(Int64)")
	t.addPosition(c)

	var decoder event.Decoder
	var v event.Velocity
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Velocity(r.Value, &v); err != nil {
			return 0, err
		}
		drop.add(v.DropID)
		pop.add(v.POP)
		partition.add(uint32(v.Partition))
		start.add(v.PaneStart)
		width.add(uint32(v.PaneMS))
		revision.add(v.Revision)
		watermark.add(v.Watermark, v.Watermark >= 0)
		maturity.add(v.Maturity.String())
		for k := range event.NumSteps {
			events[k].add(v.Events[k])
			players[k].add(v.Players[k])
		}
		gap.add(v.FunnelGap)
		failed.add(v.Failed)
		refunded.add(v.Refunded)
		chargeback.add(v.Chargeback)
		conversions.add(v.Conversions)
		ttcPanes.add(each(v.TimeToConvert, func(b event.TimeToConvert) uint32 { return b.Panes }))
		ttcCount.add(each(v.TimeToConvert, func(b event.TimeToConvert) uint32 { return b.Count }))
		currency.add(each(v.Money, func(m event.Money) string { return strings.Clone(m.Currency) }))
		gross.add(each(v.Money, func(m event.Money) int64 { return m.Gross }))
		refunds.add(each(v.Money, func(m event.Money) int64 { return m.Refunds }))
		chargebacks.add(each(v.Money, func(m event.Money) int64 { return m.Chargebacks }))
		return min(v.PaneStart, r.Timestamp), nil
	}
	return t
}

func newDeadLetters() *table {
	t := &table{name: "dead_letters"}
	c := &t.columns
	topic := c.label("topic")
	partition := newVector[uint32](c, "partition", "UInt32")
	offset := newVector[uint64](c, "offset", "UInt64")
	timestamp := c.moment("timestamp")
	class := c.label("class")
	field := c.label("field")
	key := c.text("key")
	value := c.text("value")
	t.addPosition(c)

	var decoder event.Decoder
	var l event.DeadLetter
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.DeadLetter(r.Value, &l); err != nil {
			return 0, err
		}
		topic.add(l.Topic)
		partition.add(uint32(l.Partition))
		offset.add(uint64(l.Offset))
		timestamp.add(l.Timestamp)
		class.add(l.Class.String())
		field.add(l.Field)
		key.addBytes(l.Key)
		value.addBytes(l.Value)
		return l.Timestamp, nil
	}
	return t
}

func newLate() *table {
	t := &table{name: "late_events"}
	c := &t.columns
	topic := c.label("topic")
	partition := newVector[uint32](c, "partition", "UInt32")
	offset := newVector[uint64](c, "offset", "UInt64")
	timestamp := c.moment("timestamp")
	eventTime := c.moment("event_time")
	lateBy := newVector[int64](c, "late_by_ms", "Int64")
	drop := c.label("drop_id")
	value := c.text("value")
	t.addPosition(c)

	var decoder event.Decoder
	var l event.Late
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Late(r.Value, &l); err != nil {
			return 0, err
		}
		topic.add(l.Topic)
		partition.add(uint32(l.Partition))
		offset.add(uint64(l.Offset))
		timestamp.add(l.Timestamp)
		eventTime.add(l.EventTime)
		lateBy.add(l.LateByMS)
		drop.add(l.DropID)
		value.addBytes(l.Value)
		return l.Timestamp, nil
	}
	return t
}

package clickhouse

import (
	"strings"

	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/droplift/droplift/ingest/event"
)

func newEstimates() *table {
	t := &table{name: "estimates"}
	c := &t.columns
	drop := c.label("drop_id")
	creator := c.label("creator_id")
	metric := c.label("metric")
	dimensions := newVector[*pairs[string]](c, "dimensions", "Map(LowCardinality(String), String)")
	revision := newVector[uint64](c, "revision", "UInt64")
	asOf := c.moment("as_of")
	from := c.moment("from")
	to := c.moment("to")
	maturity := c.label("maturity")
	grade := c.label("grade")
	label := c.label("label")
	enough := newVector[bool](c, "enough", "Bool")
	why := c.text("why")
	unit := c.label("unit")
	n := newVector[uint64](c, "n", "UInt64")
	numerator := newVector[uint64](c, "numerator", "UInt64")
	value := newOptional[float64](c, "value", "Float64")
	low := newOptional[float64](c, "low", "Float64")
	high := newOptional[float64](c, "high", "Float64")
	confidence := newVector[float64](c, "confidence", "Float64")
	p := newOptional[float64](c, "p", "Float64")
	alwaysValid := newVector[bool](c, "always_valid", "Bool")
	sampleRate := newVector[float64](c, "sample_rate", "Float64")
	details := newVector[*pairs[float64]](c, "details", "Map(LowCardinality(String), Float64)")
	t.addPosition(c)

	var decoder event.Decoder
	var e event.Estimate
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Estimate(r.Value, &e); err != nil {
			return 0, err
		}
		drop.add(e.DropID)
		creator.add(e.CreatorID)
		metric.add(e.Metric)
		dimensions.add(byName(e.Dimensions, func(d event.Dimension) (string, string) { return d.Name, strings.Clone(d.Value) }))
		revision.add(e.Revision)
		asOf.add(e.AsOf)
		from.add(e.From)
		to.add(e.To)
		maturity.add(e.Maturity.String())
		grade.add(e.Grade.String())
		label.add(e.Label)
		enough.add(e.Enough)
		why.add(e.Why)
		unit.add(e.Unit)
		n.add(e.N)
		numerator.add(e.Numerator)
		value.add(e.Value, e.Enough)
		low.add(e.Low, e.Enough)
		high.add(e.High, e.Enough)
		confidence.add(e.Confidence)
		p.add(e.P, e.Enough && e.P >= 0)
		alwaysValid.add(e.AlwaysValid)
		sampleRate.add(e.SampleRate)
		details.add(byName(e.Details, func(d event.Detail) (string, float64) { return d.Name, d.Value }))
		return min(e.AsOf, r.Timestamp), nil
	}
	return t
}

func newDecisions() *table {
	t := &table{name: "decisions"}
	c := &t.columns
	drop := c.label("drop_id")
	topic := c.label("topic")
	subject := c.label("subject")
	at := c.moment("at")
	chosen := c.label("chosen")
	previous := c.label("previous")
	value := newVector[float64](c, "value", "Float64")
	reason := c.text("reason")
	inputs := newVector[*pairs[float64]](c, "inputs", "Map(LowCardinality(String), Float64)")
	t.addPosition(c)

	var decoder event.Decoder
	var d event.Decision
	t.add = func(r *event.Record) (int64, *event.Error) {
		if err := decoder.Decision(r.Value, &d); err != nil {
			return 0, err
		}
		drop.add(d.DropID)
		topic.add(d.Topic)
		subject.add(d.Subject)
		at.add(d.At)
		chosen.add(d.Chosen)
		previous.add(d.Previous)
		value.add(d.Value)
		reason.add(d.Reason)
		inputs.add(byName(d.Inputs, func(i event.Input) (string, float64) { return i.Name, i.Value }))
		return min(d.At, r.Timestamp), nil
	}
	return t
}

// byName turns a list of the decoder's, which is reused, into a map column's value in the same order: a Go map would store
// its pairs in another order every time.
func byName[S, V any](from []S, pair func(S) (string, V)) *pairs[V] {
	to := &pairs[V]{}
	for _, s := range from {
		name, v := pair(s)
		to.names, to.values = append(to.names, strings.Clone(name)), append(to.values, v)
	}
	return to
}

// pairs are a map column's value. It implements chcolumn.IterableOrderedMap.
type pairs[V any] struct {
	names  []string
	values []V
}

// Put implements chcolumn.IterableOrderedMap.
func (p *pairs[V]) Put(name, value any) {
	p.names, p.values = append(p.names, name.(string)), append(p.values, value.(V))
}

// Iterator implements chcolumn.IterableOrderedMap.
func (p *pairs[V]) Iterator() chcolumn.MapIterator { return &pairsIterator[V]{pairs: p, at: -1} }

type pairsIterator[V any] struct {
	pairs *pairs[V]
	at    int
}

func (i *pairsIterator[V]) Next() bool {
	i.at++
	return i.at < len(i.pairs.names)
}

func (i *pairsIterator[V]) Key() any   { return i.pairs.names[i.at] }
func (i *pairsIterator[V]) Value() any { return i.pairs.values[i.at] }

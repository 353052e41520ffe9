package main

import (
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/churn"
)

// featureStates runs one player's events through the rule set that computes features, in the order given, and calls each
// with the features after every event that changed them: n events have been seen then. It ends when each returns false.
// Nothing settles before its time and nothing is held back, so that results depend on the events alone.
func featureStates(events []event.Event, each func(n int, f *event.Features) bool) {
	rule := churn.New(churn.Config{})
	var out processors.Output
	var decoder event.Decoder
	var f event.Features
	now := int64(0)
	for i := range events {
		rule.Apply(&events[i], events[i].EventTime)
		now += 1_000_000 // beyond any interval between publications
		out.Reset()
		rule.Flush(processors.Times{Watermark: processors.NoWatermark, Now: now}, &out)
		for _, t := range rule.Tables() {
			t.Commit()
		}
		for _, m := range out.Messages() {
			// What the rule has just encoded can be decoded.
			if err := decoder.Features(m.Value, &f); err == nil && !each(i+1, &f) {
				return
			}
		}
	}
}

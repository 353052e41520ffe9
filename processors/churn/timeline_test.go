package churn

import (
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/timeline"
)

var inputs = []event.Kind{event.KindPlayer, event.KindLatency, event.KindCheckout}

func TestTimelines(t *testing.T) {
	timeline.Run(t, "testdata/*.timeline", timeline.Config{
		Processors: processors.Config{Inputs: inputs},
		Rules:      func() []processors.Rule { return []processors.Rule{New(Config{})} },
	})
}

package learning

import (
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/timeline"
)

func TestTimelines(t *testing.T) {
	timeline.Run(t, "testdata/*.timeline", timeline.Config{
		Processors: processors.Config{
			Inputs: []event.Kind{event.KindPlayer, event.KindCheckout, event.KindScore},
			Quiet:  []event.Kind{event.KindCheckout, event.KindScore},
		},
		Rules: func() []processors.Rule {
			rule, err := New(Config{HorizonMS: 2 * day}, 7)
			if err != nil {
				t.Fatal(err)
			}
			return []processors.Rule{rule}
		},
	})
}

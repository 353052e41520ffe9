package inventory

import (
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/timeline"
)

func TestTimelines(t *testing.T) {
	timeline.Run(t, "testdata/*.timeline", timeline.Config{
		Processors: processors.Config{Inputs: []event.Kind{event.KindCheckout}},
		RulesOf: func(c processors.Catalogue) []processors.Rule {
			rule, err := New(Config{}, 7, c)
			if err != nil {
				t.Fatal(err)
			}
			return []processors.Rule{rule}
		},
	})
}

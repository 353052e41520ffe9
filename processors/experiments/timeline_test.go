package experiments

import (
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/timeline"
)

// experimental gives every drop of a timeline the experiment cta.
type experimental struct {
	processors.Catalogue
	drops map[*event.Drop]*event.Drop
}

func (c experimental) Drop(id string, asOf int64) *event.Drop {
	declared := c.Catalogue.Drop(id, asOf)
	if declared == nil {
		return nil
	}
	if c.drops[declared] == nil {
		with := *declared
		with.Experiments = []event.Experiment{cta()}
		c.drops[declared] = &with
	}
	return c.drops[declared]
}

func TestTimelines(t *testing.T) {
	timeline.Run(t, "testdata/*.timeline", timeline.Config{
		Processors: processors.Config{Inputs: []event.Kind{event.KindPlayer, event.KindCheckout}},
		RulesOf: func(c processors.Catalogue) []processors.Rule {
			rule, err := New(Config{}, 7, experimental{c, map[*event.Drop]*event.Drop{}})
			if err != nil {
				t.Fatal(err)
			}
			return []processors.Rule{rule}
		},
	})
}

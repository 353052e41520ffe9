package localization

import (
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/timeline"
)

func TestTimelines(t *testing.T) {
	timeline.Run(t, "testdata/*.timeline", timeline.Config{
		Processors: processors.Config{Inputs: []event.Kind{event.KindSubtitle}},
		RulesOf: func(c processors.Catalogue) []processors.Rule {
			rule, err := New(Config{PaneMS: 60_000}, 7, c)
			if err != nil {
				t.Fatal(err)
			}
			return []processors.Rule{rule}
		},
	})
}

package main

import (
	"fmt"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/droplift/droplift/models/feature"
)

// FeaturesListCmd prints the contract of feature vectors.
type FeaturesListCmd struct{}

func (c *FeaturesListCmd) Run() error {
	set := feature.Player
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"#", "feature", "type", "unit", "missing", "meaning"})
	for i, f := range set.Features {
		missing := "never"
		if f.Nullable {
			missing = "null"
		}
		t.AppendRow(table.Row{i, f.Name, f.Type, f.Unit, missing, f.Doc})
	}
	_, err := fmt.Fprintf(os.Stdout, "Features of a %s, version %d, hash %s\n%s\n", set.Name, set.Version, set.Hash(), t.Render())
	return err
}

package velocity

import (
	"math/rand/v2"
	"testing"

	"github.com/droplift/droplift/processors/statetest"
	"github.com/droplift/droplift/processors/wire"
)

func TestStateOfEarlierVersions(t *testing.T) {
	n := &wire.Names{}
	random := rand.New(rand.NewPCG(7, 7))
	panes, journeys := paneCodec{paneMS: DefaultPaneMS, names: n}, journeyCodec{paneMS: DefaultPaneMS, names: n}
	var somePanes, someJourneys [][]byte
	for range 4 {
		p, j := randomPane(random, DefaultPaneMS), randomJourney(random)
		somePanes, someJourneys = append(somePanes, panes.Append(nil, &p)), append(someJourneys, journeys.Append(nil, &j))
	}
	statetest.Check(t, statetest.Kind{Name: "pane", Newest: paneVersion, Samples: somePanes, Read: statetest.ReadWith(panes)})
	statetest.Check(t, statetest.Kind{Name: "journey", Newest: journeyVersion, Samples: someJourneys, Read: statetest.ReadWith(journeys)})
	statetest.Check(t, statetest.Kind{
		Name: "horizon", Newest: wire.HorizonVersion, Samples: [][]byte{wire.HorizonCodec{}.Append(nil, &wire.Horizon{At: 1_772_452_800_000})}, Read: statetest.ReadWith(wire.HorizonCodec{}),
	})
}

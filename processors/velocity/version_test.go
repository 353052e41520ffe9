package velocity

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/droplift/droplift/processors"
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
	statetest.Check(t, statetest.Kind{Name: "pane", Newest: paneVersion, Samples: somePanes, Read: readWith(panes)})
	statetest.Check(t, statetest.Kind{Name: "journey", Newest: journeyVersion, Samples: someJourneys, Read: readWith(journeys)})
	statetest.Check(t, statetest.Kind{
		Name: "horizon", Newest: horizonVersion, Samples: [][]byte{horizonCodec{}.Append(nil, &horizon{at: 1_772_452_800_000})}, Read: readWith(horizonCodec{}),
	})
}

func readWith[S any](codec processors.Codec[S]) func(data []byte) (string, []byte, error) {
	return func(data []byte) (string, []byte, error) {
		var s S
		err := codec.Decode(data, &s)
		return fmt.Sprintf("%+v", s), codec.Append(nil, &s), err
	}
}

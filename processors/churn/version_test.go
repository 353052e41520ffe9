package churn

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/droplift/droplift/processors/statetest"
)

func TestStateOfEarlierVersions(t *testing.T) {
	var empty player
	statetest.Check(t, statetest.Kind{
		Name: "player", Newest: stateVersion,
		Samples: append(months(3, 6, typical), playerCodec{}.Append(nil, &empty)),
		Read: func(data []byte) (string, []byte, error) {
			var p player
			if err := cmp.Or((playerCodec{}).Decode(data, &p), (playerCodec{}).Check(&p)); err != nil {
				return "", nil, err
			}
			again := playerCodec{}.Append(nil, &p)
			unpack(&p)
			for l := range p.tiles.level {
				p.tiles.level[l].pack = nil
			}
			return fmt.Sprintf("%+v", p), again, nil
		},
	})
	statetest.Check(t, statetest.Kind{
		Name: "pending", Newest: stateVersion,
		Samples: [][]byte{pendingCodec{}.Append(nil, &pending{due: 1_772_452_800_000}), pendingCodec{}.Append(nil, &pending{due: -1})},
		Read: func(data []byte) (string, []byte, error) {
			var p pending
			err := (pendingCodec{}).Decode(data, &p)
			return fmt.Sprintf("%+v", p), pendingCodec{}.Append(nil, &p), err
		},
	})
	statetest.Check(t, statetest.Kind{
		Name: "floor", Newest: stateVersion,
		Samples: [][]byte{floorCodec{}.Append(nil, &floor{revision: 300})},
		Read: func(data []byte) (string, []byte, error) {
			var f floor
			err := (floorCodec{}).Decode(data, &f)
			return fmt.Sprintf("%+v", f), floorCodec{}.Append(nil, &f), err
		},
	})
}

package churn

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/droplift/droplift/processors/statetest"
)

func TestStateOfEarlierVersions(t *testing.T) {
	var empty player
	told := player{revision: 3, published: 1_772_452_801_000, told: 1_772_452_800_001, changed: true, asOf: 1_772_454_000_001}
	statetest.Check(t, statetest.Kind{
		Name: "player", Newest: playerVersion,
		Samples: append(months(3, 6, typical), playerCodec{}.Append(nil, &empty), playerCodec{}.Append(nil, &told)),
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

package learning

import (
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors/statetest"
	"github.com/droplift/droplift/processors/wire"
)

func somePlayer() *player {
	return &player{
		pending: []pending{
			{model: "churn", at: start, from: start + late, to: start + late + 14*day, until: start + day, eligible: true},
			{model: "other", at: start + 1, from: start + 1, to: start + 2, until: start + 2},
		},
		starts: []int64{start - 5, start + day},
		moves: []move{
			{id: "k1", what: event.CheckoutCompleted, at: start, drop: "d", currency: "USD", amount: 500},
			{id: "k1", what: event.CheckoutRefunded, seq: 2, at: start + 9, currency: "USD", amount: 200},
		},
	}
}

func someSnapshot() *snapshot {
	return &snapshot{
		version: "v1", drop: "d", hash: "0123456789abcdef", vector: []float64{0, 1, -1, 2.5, 1e300, -300, 1 << 41}, p: 0.25, shadow: "v2", shadowP: 0.5,
		offer: "jacket", discount: 1000, propensity: 0.4, holdout: true, eligible: true,
	}
}

func TestStateOfEarlierVersions(t *testing.T) {
	n := &wire.Names{}
	players, snapshots := playerCodec{embargoMS: late, names: n}, snapshotCodec{names: n}
	statetest.Check(t, statetest.Kind{Name: "player", Newest: playerVersion, Read: statetest.ReadWith(players), Samples: [][]byte{
		players.Append(nil, &player{}), players.Append(nil, somePlayer()),
	}})
	statetest.Check(t, statetest.Kind{Name: "snapshot", Newest: snapshotVersion, Read: statetest.ReadWith(snapshots), Samples: [][]byte{
		snapshots.Append(nil, &snapshot{hash: "ABC", vector: []float64{1}}), snapshots.Append(nil, someSnapshot()),
	}})
}

// Every prefix of a state is refused.
func TestTruncatedState(t *testing.T) {
	n := &wire.Names{}
	whole := playerCodec{names: n}.Append(nil, somePlayer())
	for i := range whole {
		if err := (playerCodec{names: n}).Decode(whole[:i], &player{}); err == nil {
			t.Errorf("%d of %d bytes of a player are accepted", i, len(whole))
		}
	}
	whole = snapshotCodec{names: n}.Append(nil, someSnapshot())
	for i := range whole {
		if err := (snapshotCodec{names: n}).Decode(whole[:i], &snapshot{}); err == nil {
			t.Errorf("%d of %d bytes of a score are accepted", i, len(whole))
		}
	}
}

package learning

import (
	"fmt"
	"math"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/scoring"
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

func someModel() *model {
	online := &churn.Online{
		Base: &scoring.Linear{Weights: make([]float64, 2), Mean: []float64{1, 2}, Scale: []float64{3, 0.5}, Impute: []float64{1, 6}, Missing: make([]float64, 2), Log: []bool{false, true}},
		FTRL: &churn.FTRL{Alpha: 0.1, Beta: 1, L1: 0.25, L2: 0.5, N: []float64{1, 2, 3, 4, 5}, Z: []float64{-1, 0, 1, 2, 3}},
	}
	m := &model{
		hash: "h", examples: 9, positives: 4, updates: 7, first: start, last: start + 5, newest: start + 14*day, embargo: late, horizon: 14 * day,
		candidateAfter: 3, candidateAt: start + 2, due: true, revision: 6, marks: []mark{{partition: 2, to: start + 9, at: start, player: "p|1"}},
		window: someWindow(), online: online,
	}
	m.window.model = ""
	return m
}

func someWindow() (w window) {
	w = window{model: "churn", revision: 4, from: start, to: start + day}
	w.voices[byShadow].add(0.75, 1, 0.5)
	w.voices[byShadow].add(1, 0, 0.5)
	return w
}

// printModel says what a model means, its learner included.
func printModel(data []byte) (string, []byte, error) {
	var m model
	codec := modelCodec{names: &wire.Names{}}
	if err := codec.Decode(data, &m); err != nil {
		return "", nil, err
	}
	online := "none"
	if m.online != nil {
		f := m.online.FTRL
		online = fmt.Sprintf("%+v %v %v %v %v %v %v", *m.online.Base, f.Alpha, f.Beta, f.L1, f.L2, f.N, f.Z)
	}
	again := codec.Append(nil, &m)
	m.online = nil
	return fmt.Sprintf("%+v %s", m, online), again, nil
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
	statetest.Check(t, statetest.Kind{Name: "model", Newest: modelVersion, Read: printModel, Samples: [][]byte{
		modelCodec{}.Append(nil, &model{}), modelCodec{}.Append(nil, someModel()),
	}})
	w := someWindow()
	statetest.Check(t, statetest.Kind{Name: "window", Newest: windowVersion, Read: statetest.ReadWith(windowCodec{}), Samples: [][]byte{
		windowCodec{}.Append(nil, &window{}), windowCodec{}.Append(nil, &w),
	}})
	statetest.Check(t, statetest.Kind{Name: "row", Newest: rowVersion, Read: statetest.ReadWith(rowCodec{}), Samples: [][]byte{
		rowCodec{}.Append(nil, &row{number: 3, at: start, churned: true, p: 0.25, vector: []float64{1, 2.5, math.NaN()}}),
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
	whole = modelCodec{}.Append(nil, someModel())
	for i := range whole {
		if _, _, err := printModel(whole[:i]); err == nil {
			t.Errorf("%d of %d bytes of a model are accepted", i, len(whole))
		}
	}
	w := someWindow()
	whole = windowCodec{}.Append(nil, &w)
	for i := range whole {
		if err := (windowCodec{}).Decode(whole[:i], &window{}); err == nil {
			t.Errorf("%d of %d bytes of a window are accepted", i, len(whole))
		}
	}
}

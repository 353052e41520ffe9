package experiments

import (
	"testing"

	"github.com/droplift/droplift/models/experiment"
	"github.com/droplift/droplift/processors/statetest"
	"github.com/droplift/droplift/processors/wire"
)

func TestStateOfEarlierVersions(t *testing.T) {
	n := &wire.Names{}
	players, arms, boards := playerCodec{refundMS: 1, names: n}, armCodec{refundMS: 1}, boardCodec{everyMS: 1, names: n}
	c := counts{exposed: 300, converted: 40, refunded: 5, crossed: 2, misassigned: 1}
	statetest.Check(t, statetest.Kind{Name: "player", Newest: playerVersion, Read: statetest.ReadWith(players), Samples: [][]byte{
		players.Append(nil, &player{end: end, bought: start}),
		players.Append(nil, &player{end: end, bought: start + 5, returned: start + 4, exposures: []exposure{
			{experiment: "a|b", variant: "x", language: "fr", at: start, crossed: true}, {experiment: "cta", variant: "b", at: start + 1, misassigned: true}}}),
	}})
	statetest.Check(t, statetest.Kind{Name: "arm", Newest: armVersion, Read: statetest.ReadWith(arms), Samples: [][]byte{
		arms.Append(nil, &arm{counts: c, revision: 9, end: end, stage: stageRefunds, design: 0x9f3a1c7be02d4456, changed: true, sampleRate: 0.5}),
	}})
	statetest.Check(t, statetest.Kind{Name: "part", Newest: partVersion, Read: statetest.ReadWith(partCodec{}), Samples: [][]byte{
		partCodec{}.Append(nil, &part{counts: c, final: true}),
	}})
	statetest.Check(t, statetest.Kind{Name: "board", Newest: boardVersion, Read: statetest.ReadWith(boards), Samples: [][]byte{
		boards.Append(nil, &board{}),
		boards.Append(nil, &board{revision: 3, last: start, end: end, dirty: true, due: true, open: 4, openRefunds: 6, groups: []group{
			{experiment: "cta", language: "fr", design: 1, changed: true, sampleRate: 0.5, ratio: experiment.RatioSequence{Evidence: 2.5}, chosen: chosenRatio, arms: []total{
				{variant: "a", counts: sums{10_000, 400, 20, 1, 2}},
				{variant: "b", counts: sums{10_000, 470, 20, 1, 2}, effect: experiment.Sequence{Greatest: 1.5, Looks: 7}, refunds: experiment.Sequence{Looks: 1}, chosen: chosenSignificant, guarded: chosenRefunds}}}}}),
	}})
}

// Every prefix of a state is refused.
func TestTruncatedState(t *testing.T) {
	codec := boardCodec{names: &wire.Names{}}
	whole := codec.Append(nil, &board{groups: []group{{experiment: "cta", arms: []total{{variant: "a"}}}}})
	for i := range whole {
		if err := codec.Decode(whole[:i], &board{}); err == nil {
			t.Errorf("%d of %d bytes are accepted", i, len(whole))
		}
	}
}

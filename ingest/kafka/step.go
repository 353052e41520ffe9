package kafka

// Step is a point of the exactly-once loops at which a process may die, or its
// surroundings fail, without a record being lost or counted twice. Steps lists
// them in the order of a life; between two of them nothing outside memory changes.
type Step string

// The steps of a Stage.
const (
	StageAdopting   Step = "stage-adopting"   // an assignment is here; nothing of it is restored
	StageRestored   Step = "stage-restored"   // the new tasks' state is in memory
	StageGathered   Step = "stage-gathered"   // records are folded into staged state
	StageBegun      Step = "stage-begun"      // the transaction is open and empty
	StageProduced   Step = "stage-produced"   // outputs and change-log are in the open transaction
	StageCommitting Step = "stage-committing" // before the offsets join it
	StageEnded      Step = "stage-ended"      // the broker decided; memory does not know yet
	StageApplied    Step = "stage-applied"    // memory has followed

	// A snapshot is written beside the loop.
	StageSnapshotting Step = "stage-snapshotting" // the file is durable, nobody would find it
	StageSnapshotted  Step = "stage-snapshotted"  // it has its name; older ones are removed
)

// The steps of a Feed.
const (
	FeedAssigned Step = "feed-assigned" // a partition is here; its plan is not read
	FeedBegun    Step = "feed-begun"    // its plan is known, nothing is fetched
	FeedFilled   Step = "feed-filled"   // a batch is due, in memory only
	FeedPlanned  Step = "feed-planned"  // its range is journalled, nothing is written
	FeedWritten  Step = "feed-written"  // the store has it, the group does not know
	FeedReleased Step = "feed-released" // the group's offset is past it
)

// The steps of a Feed whose store refuses records.
const (
	FeedRefused  Step = "feed-refused"  // the store refuses a batch; only this process knows
	FeedHalved   Step = "feed-halved"   // that is journalled, no part of the batch is written
	FeedLettered Step = "feed-lettered" // dead letters are in an open transaction, which the release has not joined
)

// RefusalSteps are the steps that a Feed takes beside those of Steps, between
// FeedPlanned and FeedWritten and before FeedReleased, when its store refuses records.
func RefusalSteps() []Step { return []Step{FeedRefused, FeedHalved, FeedLettered} }

// Steps are the steps that every pipeline takes.
func Steps() []Step {
	return []Step{
		StageAdopting, StageRestored, StageGathered, StageBegun, StageProduced, StageCommitting, StageEnded, StageApplied,
		StageSnapshotting, StageSnapshotted,
		FeedAssigned, FeedBegun, FeedFilled, FeedPlanned, FeedWritten, FeedReleased,
	}
}

func (c Config) step(s Step) {
	if c.OnStep != nil {
		c.OnStep(s)
	}
}

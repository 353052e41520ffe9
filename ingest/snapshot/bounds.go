package snapshot

import (
	"fmt"
	"time"
)

// Bounds is what a snapshot must lie within to stand for the start of a change-log.
type Bounds struct {
	Topic     string
	TopicID   ID
	Partition int32
	// Start and End of the log: the first offset it may still hold, and the one after its last.
	Start, End int64
	// Deletes says that the broker removes old records whatever their key, so that what lies before Start
	// is lost. In a log that is only compacted, Start moves when newer records of the same keys make the first ones needless.
	Deletes bool
	// Tombstones is how long the log keeps the deletion of a key: delete.retention.ms.
	Tombstones time.Duration
	Now        time.Time
}

// MaxAge of a snapshot: half of the time for which a deletion is kept.
//
//	snapshot at 100         change-log                    cleaner
//	holds k
//	                        150: k is deleted
//	                                                      a retention after 150 was written, at the earliest, removes it
//	is restored: has k      from 100 on: no word of k     k is back from the dead
//
// What was written at or after Offset is younger than AsOf, so until AsOf and one retention later
// every deletion is there to be read. The other half is for reading, and for clocks that differ: AsOf is
// the writer's, deletions are timed by the broker, and Now is the reader's.
func (b Bounds) MaxAge() time.Duration { return b.Tombstones / 2 }

// Check says whether the snapshot and the log from its offset on give the log's state. An error is a *RefusedError.
func (b Bounds) Check(h Header) error {
	age := b.Now.Sub(h.AsOf)
	switch {
	case h.Topic != b.Topic, h.TopicID != b.TopicID, h.Partition != b.Partition:
		return refuse(Foreign, fmt.Errorf("it belongs to %s-%s/%d", h.Topic, h.TopicID, h.Partition))
	case h.Offset > b.End:
		return refuse(BeyondEnd, fmt.Errorf("it is complete up to offset %d, but the change-log ends at %d: records were lost", h.Offset, b.End))
	case b.Deletes && h.Offset < b.Start:
		return refuse(BehindStart, fmt.Errorf("it is complete up to offset %d, but retention has removed records up to %d", h.Offset, b.Start))
	case age.Abs() > b.MaxAge():
		return refuse(TooOld, fmt.Errorf("it is %v old; the change-log's delete.retention.ms allows %v, after which deletions may be missing", age.Round(time.Second), b.MaxAge()))
	}
	return nil
}

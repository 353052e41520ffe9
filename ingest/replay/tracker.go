package replay

import "fmt"

// tracker finds the longest prefix of records that are done, whatever the order
// in which they become so. Not safe for concurrent use.
type tracker struct {
	// read is the last record handed out or disposed of, done the last of the prefix.
	read, done uint64
	// ahead holds the records behind the prefix that are done.
	ahead map[uint64]struct{}
}

// finish marks a record; marking one again changes nothing.
func (t *tracker) finish(record uint64) error {
	if record == 0 || record > t.read {
		return fmt.Errorf("replay: record %d is acknowledged, but only %d were read", record, t.read)
	}
	if record <= t.done {
		return nil
	}
	if record != t.done+1 {
		if t.ahead == nil {
			t.ahead = make(map[uint64]struct{})
		}
		t.ahead[record] = struct{}{}
		return nil
	}
	t.done = record
	for {
		if _, ok := t.ahead[t.done+1]; !ok {
			return nil
		}
		t.done++
		delete(t.ahead, t.done)
	}
}

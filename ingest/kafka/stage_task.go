package kafka

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/droplift/droplift/ingest/event"
)

// owned is one Task and what the session knows about its inputs. One goroutine
// at a time works on it.
type owned struct {
	number int32
	task   Task
	inputs []input

	busy     bool // queued for fold
	active   bool // takes part in the transaction at hand
	records  int  // of the transaction at hand
	outcomes [][len(outcomeNames)]int
	flushed  time.Time
	caughtUp []bool

	// out are the transaction's records for the producer, which holds them until the transaction ends.
	out     []kgo.Record
	kinds   [256]int
	changes int // the last ones of out

	state state
}

type input struct {
	kind  event.Kind
	queue []*kgo.Record
	// position is the next offset to process, committed the position at the last commit; −1 when not known yet.
	position, committed int64
	// start of the log, which stands for a position that is not known.
	start int64
	// high is the newest high watermark seen, at highAt.
	high   int64
	highAt time.Time
	lag    prometheus.Gauge
	// oldest and newest Kafka timestamp (Unix ms) of the transaction's records; 0 without any.
	oldest, newest int64
}

func newOwned(number int32, task Task, kinds []event.Kind) *owned {
	t := &owned{number: number, task: task, inputs: make([]input, len(kinds)), outcomes: make([][len(outcomeNames)]int, len(kinds)), caughtUp: make([]bool, len(kinds))}
	for i, k := range kinds {
		t.inputs[i] = input{kind: k, position: -1, committed: -1}
	}
	return t
}

// fold processes what is queued. Inputs are merged by broker time, which is how
// they happened as far as anyone can tell; within an input the order is the log's.
func (t *owned) fold() {
	t.busy = false
	t.state.release()
	for {
		first := -1
		for i := range t.inputs {
			q := t.inputs[i].queue
			if len(q) > 0 && (first < 0 || q[0].Timestamp.Before(t.inputs[first].queue[0].Timestamp)) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		in := &t.inputs[first]
		r := in.queue[0]
		in.queue[0] = nil
		in.queue = in.queue[1:]
		in.position = r.Offset + 1
		t.records++
		if r.Attrs.IsControl() {
			continue
		}
		at := r.Timestamp.UnixMilli()
		if in.newest = max(in.newest, at); in.oldest == 0 {
			in.oldest = at
		}
		outcome := t.task.Process(event.Record{Kind: in.kind, Offset: r.Offset, Timestamp: at, Key: r.Key, Value: r.Value})
		t.outcomes[first][outcome]++
	}
	for i := range t.inputs {
		t.inputs[i].queue = nil
	}
}

// flush completes the transaction's outputs. fresh is the oldest time at which a
// high watermark still says something about now.
func (t *owned) flush(names *[256]string, local *[256]bool, partitions int32, changelog string, now, fresh time.Time) {
	for i, in := range t.inputs {
		t.caughtUp[i] = max(in.position, in.start) >= in.high && in.highAt.After(fresh)
	}
	t.flushed, t.active = now, true
	t.state.release()
	for _, m := range t.task.Flush(now.UnixMilli(), t.caughtUp) {
		t.kinds[m.Kind]++
		r := kgo.Record{Topic: names[m.Kind], Key: m.Key, Value: m.Value, Partition: hashed}
		switch {
		case m.Kind.Broadcast():
			for r.Partition = range partitions {
				t.out = append(t.out, r)
			}
			continue
		case m.Kind.Routed():
			r.Partition = routed
		case local[m.Kind]:
			r.Partition = t.number
		}
		t.out = append(t.out, r)
	}
	t.task.Changes(func(key string, value []byte) {
		t.out = append(t.out, kgo.Record{Topic: changelog, Key: []byte(key), Value: value, Partition: t.number})
		t.changes++
	})
}

// commit keeps the transaction, rollback forgets it.
func (t *owned) commit() {
	t.task.Commit()
	for i := range t.inputs {
		t.inputs[i].committed = t.inputs[i].position
	}
	t.forget()
}

func (t *owned) rollback() {
	t.state.release()
	t.task.Rollback()
	for i := range t.inputs {
		t.inputs[i].position = t.inputs[i].committed
	}
	t.forget()
}

func (t *owned) forget() {
	t.active, t.records, t.changes = false, 0, 0
	for i := range t.inputs {
		t.inputs[i].oldest, t.inputs[i].newest = 0, 0
	}
	clear(t.outcomes)
	clear(t.out)
	t.out = t.out[:0]
	t.kinds = [256]int{}
}

// behind says whether the log is known to hold records that were not taken.
func (t *owned) behind() bool {
	for i := range t.inputs {
		if in := &t.inputs[i]; max(in.position, in.start) < in.high {
			return true
		}
	}
	return false
}

// fenceable says whether some offset can stand for this task in a transaction
// without records of it.
func (t *owned) fenceable() bool {
	for _, in := range t.inputs {
		if in.committed >= 0 {
			return true
		}
	}
	return false
}

// The Partition of a record that is placed by its key, or by the first part of it.
const (
	hashed = -1
	routed = -2
)

// taskPartitioner keeps a task's outputs in its partition number and hashes the
// others' keys, or the routes in them, as Kafka's own clients do.
type taskPartitioner struct{}

func (taskPartitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{kgo.StickyKeyPartitioner(nil).ForTopic(topic)}
}

type topicPartitioner struct{ byKey kgo.TopicPartitioner }

func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition != hashed || p.byKey.RequiresConsistency(r)
}

func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	switch r.Partition {
	case hashed:
		return p.byKey.Partition(r, n)
	case routed:
		return p.byKey.Partition(&kgo.Record{Key: event.Route(r.Key)}, n)
	}
	return int(r.Partition)
}

func (p topicPartitioner) OnNewBatch() {
	if b, ok := p.byKey.(kgo.TopicPartitionerOnNewBatch); ok {
		b.OnNewBatch()
	}
}

package kafka

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// activity is what a loop spends its time on; its name is the label "on" of
// droplift_stage_seconds_total and droplift_feed_seconds_total. A loop is always
// in exactly one, so the seconds of all of them add up to its age.
type activity uint8

// The activities of a Stage's loop and of a Feed's workers.
const (
	// onIdle waits for records while the log, as far as is known, has been read to its end.
	onIdle activity = iota
	// onFetch waits for records that the log is known to hold.
	onFetch
	// onProcess works on records in tasks: Process, Flush, Changes, Commit and Rollback, with what surrounds them, copying
	// tasks for snapshots included.
	onProcess
	// onProduce sends a transaction's outputs and change-log and waits for the brokers' answers.
	onProduce
	// onCommit ends a transaction, by commit or abort, and finds out what came of it.
	onCommit
	// onRestore reads tasks back, from snapshots and the change-log.
	onRestore
	// onRebalance joins a group, waits for its assignment and takes it up, restoring apart.
	onRebalance
	// onBackoff waits after a failure before it tries again, on either side.
	onBackoff
	// onMemory waits for the process's memory to fall.
	onMemory
	// onDecode hands records to the Loader.
	onDecode
	// onPlan commits offsets: a batch's plan, or what is released.
	onPlan
	// onInsert has nothing to do before the oldest batch in flight is stored, which is not known to wait.
	onInsert
	// onSlot has nothing to do before the oldest batch in flight is stored, which waits for others, of which only so many are written at once.
	onSlot

	activities
)

var activityNames = [activities]string{
	onIdle: "idle", onFetch: "fetch", onProcess: "process", onProduce: "produce", onCommit: "commit", onRestore: "restore",
	onRebalance: "rebalance", onBackoff: "backoff", onMemory: "memory", onDecode: "decode", onPlan: "plan", onInsert: "insert", onSlot: "slot",
}

var (
	stageActivities = []activity{onIdle, onFetch, onProcess, onProduce, onCommit, onRestore, onRebalance, onBackoff, onMemory}
	feedActivities  = []activity{onIdle, onFetch, onDecode, onPlan, onInsert, onSlot, onRebalance, onBackoff}
)

// timeAccount is where the time of one loop goes: one clock read a change of
// activity. The loop's goroutine enters, or for it one that it waits for; scrapes read.
type timeAccount struct {
	mu    sync.Mutex
	on    activity
	since time.Time
	spent [activities]time.Duration
}

// enter ends the activity at hand and begins the next.
func (a *timeAccount) enter(on activity) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle(time.Now())
	a.on = on
}

// settle books the activity at hand up to now.
func (a *timeAccount) settle(now time.Time) {
	a.spent[a.on] += now.Sub(a.since)
	a.since = now
}

// balance is what was spent until now. The activity at hand counts too, so that an hour's restore is seen while it lasts.
func (a *timeAccount) balance() [activities]time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle(time.Now())
	return a.spent
}

// timeLedger publishes the accounts of all loops of a Stage or a Feed as seconds
// by activity and, for a Feed, by topic: those of one topic are added up.
type timeLedger struct {
	desc       *prometheus.Desc
	byTopic    bool
	activities []activity

	mu     sync.Mutex
	opened map[*timeAccount]string // topic
	closed map[string][activities]time.Duration
}

func newTimeLedger(r *registry, help string, byTopic bool, on []activity) *timeLedger {
	labels := []string{"on"}
	if byTopic {
		labels = []string{"topic", "on"}
	}
	l := &timeLedger{
		desc:    prometheus.NewDesc(r.prefix+"seconds_total", help, labels, r.labels),
		byTopic: byTopic, activities: on,
		opened: map[*timeAccount]string{}, closed: map[string][activities]time.Duration{},
	}
	r.add(l)
	return l
}

// open begins a loop's account, in its first activity.
func (l *timeLedger) open(topic string, on activity) *timeAccount {
	a := &timeAccount{on: on, since: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened[a] = topic
	return a
}

// close ends it; what was spent stays published.
func (l *timeLedger) close(a *timeAccount) {
	l.mu.Lock()
	defer l.mu.Unlock()
	topic := l.opened[a]
	l.closed[topic] = sum(l.closed[topic], a.balance())
	delete(l.opened, a)
}

func sum(a, b [activities]time.Duration) [activities]time.Duration {
	for i := range a {
		a[i] += b[i]
	}
	return a
}

// Describe implements prometheus.Collector.
func (l *timeLedger) Describe(to chan<- *prometheus.Desc) { to <- l.desc }

// Collect implements prometheus.Collector.
func (l *timeLedger) Collect(to chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	totals := make(map[string][activities]time.Duration, len(l.closed))
	for topic, spent := range l.closed {
		totals[topic] = spent
	}
	for a, topic := range l.opened {
		totals[topic] = sum(totals[topic], a.balance())
	}
	for topic, spent := range totals {
		for _, on := range l.activities {
			labels := []string{activityNames[on]}
			if l.byTopic {
				labels = []string{topic, activityNames[on]}
			}
			to <- prometheus.MustNewConstMetric(l.desc, prometheus.CounterValue, spent[on].Seconds(), labels...)
		}
	}
}

// PhasedBatch is a Batch whose writes can tell what they spend their time on.
type PhasedBatch interface {
	Batch
	// Phases is called once, before the first write. From then on, a write calls enter whenever it begins something else, in
	// its caller's goroutine: with "slot" before it waits for other batches, "insert" before it talks to the store, and "backoff" before
	// it waits to try again.
	Phases(enter func(phase string))
}

// writePhase is the activity that a PhasedBatch names.
func writePhase(phase string) activity {
	for _, on := range []activity{onSlot, onInsert, onBackoff} {
		if activityNames[on] == phase {
			return on
		}
	}
	panic(fmt.Sprintf("kafka: a batch's write has no phase %q", phase))
}

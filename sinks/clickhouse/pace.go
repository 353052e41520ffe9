package clickhouse

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// pace measures what the loaders' topic-partitions bring and what their inserts
// cost, and gives each its age by the policy. Its methods may be called from any goroutine.
type pace struct {
	policy  FlushPolicy
	metrics *metrics

	mu      sync.Mutex
	flows   map[flowKey]*flow
	planned time.Time
}

type flowKey struct {
	table     string
	partition int32
}

// flow is one topic-partition's traffic.
type flow struct {
	table  string
	number int // in order of their making
	// age in nanoseconds at which a batch is due.
	age atomic.Int64

	// Since the last planning.
	rows, inserts int
	Traffic
}

const (
	// planEvery is how often ages are set anew.
	planEvery = time.Second
	// halfLife is when a rate, and halfInserts when a cost, counts for half of what it did.
	halfLife    = 5 * time.Second
	halfInserts = 4
)

func newPace(policy FlushPolicy, m *metrics) *pace {
	return &pace{policy: policy, metrics: m, flows: map[flowKey]*flow{}}
}

// flow finds or makes a topic-partition's flow. Before anything is known of it, its batches do not wait long.
func (p *pace) flow(table string, partition int32, partials bool) *flow {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := flowKey{table, partition}
	f := p.flows[key]
	if f == nil {
		f = &flow{table: table, number: len(p.flows), Traffic: Traffic{MaxAge: p.policy.MaxAge}}
		if partials {
			f.MaxAge = p.policy.PartialAge
		}
		f.age.Store(int64(p.policy.MinAge))
		p.flows[key] = f
	}
	return f
}

// observe takes in a written batch and, once a second, plans.
func (p *pace) observe(f *flow, rows int, cost time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.rows += rows
	f.inserts++
	if f.Cost == 0 {
		f.Cost = cost
	}
	f.Cost += time.Duration(float64(cost-f.Cost) * (1 - math.Pow(0.5, 1./halfInserts)))
	if p.planned.IsZero() {
		p.planned = now
	}
	if since := now.Sub(p.planned); since >= planEvery {
		p.plan(since)
		p.planned = now
	}
}

func (p *pace) plan(since time.Duration) {
	flows := make([]*flow, 0, len(p.flows))
	traffic := make([]Traffic, 0, len(p.flows))
	keep := math.Pow(0.5, since.Seconds()/halfLife.Seconds())
	inserts := map[string]float64{}
	oldest := map[string]time.Duration{}
	for _, f := range p.flows {
		f.Rate = f.Rate*keep + float64(f.rows)/since.Seconds()*(1-keep)
		inserts[f.table] += float64(f.inserts) / since.Minutes()
		f.rows, f.inserts = 0, 0
		flows, traffic = append(flows, f), append(traffic, f.Traffic)
	}
	for i, age := range p.policy.Ages(traffic) {
		flows[i].age.Store(int64(age))
		oldest[flows[i].table] = max(oldest[flows[i].table], age)
	}
	for table, perMinute := range inserts {
		p.metrics.paced(table, perMinute, oldest[table])
	}
}

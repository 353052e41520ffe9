package clickhouse

import (
	"errors"
	"math"
	"time"
)

// FlushPolicy says when an open batch is due: at whichever limit comes first.
type FlushPolicy struct {
	// MaxRecords of the batch, undecodable ones included; default 100,000, at most 1,000,000: larger blocks are cut by the server.
	MaxRecords int
	// MaxBytes of the records' JSON; default 64 MiB.
	MaxBytes int
	// MinAge and MaxAge bound the age, since the batch's first record, that a topic-partition is given; default 250 ms, or
	// MaxAge if that is less, and 1 s.
	MinAge, MaxAge time.Duration
	// PartialAge takes the place of MaxAge for tables whose rows tell of panes of a minute and more, and for histories, which nobody
	// watches by the second; default five times MaxAge. There are many of them, and an insert costs about the same for one row as for a thousand.
	PartialAge time.Duration
	// InsertTime is how much of each second inserts should take, over all topic-partitions, and 1.5 of it means that one and a half
	// are under way all the time; default 0.3. Ages grow until it is kept, or MaxAge is reached.
	InsertTime float64
}

const maxBatchRecords = 1_000_000

// Validate fills in the defaults and reports every problem at once.
func (p *FlushPolicy) Validate() error {
	if p.MaxRecords == 0 {
		p.MaxRecords = 100_000
	}
	if p.MaxBytes == 0 {
		p.MaxBytes = 64 << 20
	}
	if p.MaxAge == 0 {
		p.MaxAge = time.Second
	}
	if p.PartialAge == 0 {
		p.PartialAge = 5 * p.MaxAge
	}
	if p.MinAge == 0 {
		p.MinAge = min(250*time.Millisecond, p.MaxAge)
	}
	if p.InsertTime == 0 {
		p.InsertTime = 0.3
	}
	var problems []error
	if p.MaxRecords < 0 || p.MaxRecords > maxBatchRecords {
		problems = append(problems, errors.New("a batch has between 1 and 1,000,000 records"))
	}
	if p.MaxBytes < 0 || p.MinAge < 0 || p.MaxAge < 0 {
		problems = append(problems, errors.New("a batch's bytes and age must not be negative"))
	}
	if p.MaxAge > p.PartialAge && p.MaxAge > 0 {
		problems = append(problems, errors.New("a batch's greatest age is over that of partials"))
	}
	if p.MinAge > p.MaxAge && p.MaxAge > 0 {
		problems = append(problems, errors.New("a batch's least age is over its greatest"))
	}
	if p.InsertTime < 0 || math.IsNaN(p.InsertTime) {
		problems = append(problems, errors.New("the time for inserts must not be negative"))
	}
	return errors.Join(problems...)
}

// Verdict is why a batch is due, if it is.
type Verdict uint8

const (
	NotDue Verdict = iota
	// Aged: it has waited for as long as it should, and may wait longer.
	Aged
	// Full: it must not grow.
	Full
)

// Due judges a batch of that many records and bytes, and of that age where limit is allowed.
func (p FlushPolicy) Due(records, bytes int, age, limit time.Duration) Verdict {
	switch {
	case records >= p.MaxRecords, bytes >= p.MaxBytes:
		return Full
	case records > 0 && age >= limit:
		return Aged
	}
	return NotDue
}

// Traffic is what one topic-partition brings.
type Traffic struct {
	// Rate in rows per second.
	Rate float64
	// Cost of one insert, taken for the same however many rows it has: it is for batches that age, not for those that fill.
	Cost time.Duration
	// MaxAge that its batches may reach: the policy's MaxAge or PartialAge.
	MaxAge time.Duration
}

// idleRate is a row a minute. What brings less has no part in the budget.
const idleRate = 1. / 60

// Ages gives each topic-partition the age at which its batches are due. An insert
// costs about the same for one row as for a thousand, so that ages decide what
// inserts cost altogether, Σ cost/age; the rows of a batch wait for half its age, Σ rate·age/2. The least
// waiting for a given cost has ages proportional to √(cost/rate): quiet partitions
// wait longer than busy ones. The factor is the smallest that keeps InsertTime
// within MinAge and each one's MaxAge, found by bisection, since the sum falls as it grows.
func (p FlushPolicy) Ages(traffic []Traffic) []time.Duration {
	ages := make([]time.Duration, len(traffic))
	age := func(t Traffic, factor float64) time.Duration {
		if t.Rate < idleRate {
			return p.MinAge
		}
		ideal := factor * math.Sqrt(t.Cost.Seconds()/t.Rate)
		return time.Duration(min(max(ideal, p.MinAge.Seconds()), t.MaxAge.Seconds()) * float64(time.Second))
	}
	cost := func(factor float64) (sum float64) {
		for _, t := range traffic {
			if t.Rate >= idleRate {
				sum += t.Cost.Seconds() / max(age(t, factor), time.Millisecond).Seconds()
			}
		}
		return sum
	}
	// Its MaxAge is reached by every one of them at this factor, if it costs anything.
	low, high := 0., 0.
	for _, t := range traffic {
		if t.Rate >= idleRate && t.Cost > 0 {
			high = max(high, t.MaxAge.Seconds()/math.Sqrt(t.Cost.Seconds()/t.Rate))
		}
	}
	if cost(low) <= p.InsertTime {
		high = low
	}
	for range 50 {
		if middle := (low + high) / 2; cost(middle) <= p.InsertTime {
			high = middle
		} else {
			low = middle
		}
	}
	for i, t := range traffic {
		ages[i] = age(t, high)
	}
	return ages
}

package main

import (
	"fmt"
	"slices"
	"strings"
)

// symptoms is what is known of one loop, a stage's or a feed's workers of one topic, over one interval.
type symptoms struct {
	// Away says why the loop cannot be asked or does not run; empty when it runs.
	Away string
	// Rate is of records done, a second.
	Rate float64
	// Lags in records, of what one goroutine works on: a stage's tasks, a feed's partitions.
	Lags []float64
	// Shares of the loop's time by activity, which add up to 1; see the metrics' help for the names.
	Shares map[string]float64
	// Memory is the share of GOMEMLIMIT in use, 0 without a limit.
	Memory float64
	// Cores is how many processors the process used, of Processors that it may use; 0 when unknown.
	Cores, Processors float64
}

// condition is the one word for how a loop does.
type condition string

const (
	keepingUp         condition = "keeping up"
	down              condition = "down"
	restoring         condition = "restoring"
	rebalancing       condition = "rebalancing"
	failing           condition = "failing"
	shortOfMemory     condition = "short of memory"
	skewed            condition = "skewed"
	waitsForKafka     condition = "waits for Kafka"
	waitsForWarehouse condition = "waits for ClickHouse"
	cpuBound          condition = "CPU bound"
)

// verdict says how a loop does and, in words for an operator, why.
type verdict struct {
	Condition condition `json:"condition"`
	Why       string    `json:"why"`
}

// What explain goes by. Each is a judgement, not a law: they say from where on a cause is worth an operator's look.
const (
	// keptUpSeconds of work may lag behind a loop that keeps up: a batch is gathered for up to 2 s, then inserted.
	keptUpSeconds = 5
	// occupied is the share of an interval from which on restoring, rebalancing or waiting for memory is what the loop does, and not what it did.
	occupied = 0.3
	// retrying is the share of backing off, or of waiting for memory, from which on that, and no throughput, is the story: half is lost at most.
	retrying = 0.25
	// fullMemory is the share of GOMEMLIMIT over which the collector takes the processors from the work.
	fullMemory = 0.95
	// skewShare of all lag in one partition, and skewFactor times the mean partition's, is skew; both, for with two partitions
	// one always holds half.
	skewShare  = 0.5
	skewFactor = 1.8
)

// bottlenecks are the causes of lag and the activities whose shares speak for each.
var bottlenecks = []struct {
	condition  condition
	activities []string
	what       string
}{
	{waitsForWarehouse, []string{"insert", "slot"}, "inserts take %s of the time"},
	{waitsForKafka, []string{"fetch"}, "fetching takes %s of the time"},
	{waitsForKafka, []string{"produce", "commit"}, "its transactions take %s of the time"},
	{waitsForKafka, []string{"plan"}, "offset commits take %s of the time"},
	{cpuBound, []string{"process", "decode"}, "the work takes %s of the time"},
}

// explain judges a loop: what keeps it from running first, then whether it keeps up, then why it does not.
func explain(s symptoms) verdict {
	lag := 0.0
	for _, l := range s.Lags {
		lag += l
	}
	share := s.Shares
	switch {
	case s.Away != "":
		return verdict{down, s.Away}
	case share["restore"] >= occupied:
		return verdict{restoring, "reading state back takes " + percentage(share["restore"]) + " of the time"}
	case share["rebalance"] >= occupied:
		return verdict{rebalancing, "joining the group takes " + percentage(share["rebalance"]) + " of the time"}
	case share["backoff"] >= retrying:
		return verdict{failing, "waiting to try again takes " + percentage(share["backoff"]) + " of the time; the log names the errors"}
	case share["memory"] >= retrying:
		return verdict{shortOfMemory, "waiting for memory takes " + percentage(share["memory"]) + " of the time; raise --memory-limit or share the partitions among more processes"}
	case lag == 0:
		return verdict{keepingUp, busiest(share)}
	case share["memory"] >= occupied:
		return verdict{shortOfMemory, "waiting for memory takes " + percentage(share["memory"]) + " of the time; raise the limit or share the partitions among more processes"}
	case lag <= s.Rate*keptUpSeconds:
		return verdict{keepingUp, busiest(share)}
	case s.Memory >= fullMemory:
		return verdict{shortOfMemory, percentage(s.Memory) + " of GOMEMLIMIT is in use; raise it or share the partitions among more processes"}
	}
	if largest := slices.Max(s.Lags) / lag; len(s.Lags) > 1 && largest >= skewShare && largest*float64(len(s.Lags)) >= skewFactor {
		return verdict{skewed, "one partition holds " + percentage(largest) + " of the lag; " + busiest(share)}
	}
	return bottleneck(s)
}

func bottleneck(s symptoms) verdict {
	worst, most := -1, 0.0
	for i, b := range bottlenecks {
		share := 0.0
		for _, activity := range b.activities {
			share += s.Shares[activity]
		}
		if share > most {
			worst, most = i, share
		}
	}
	if worst < 0 || most < s.Shares["idle"] {
		// Lag that is being waited out: what is in hand is smaller than a batch, or the log's end has only just moved.
		return verdict{keepingUp, busiest(s.Shares)}
	}
	b := bottlenecks[worst]
	why := fmt.Sprintf(b.what, percentage(most))
	if b.condition == cpuBound && s.Processors > 0 {
		why += fmt.Sprintf("; the process uses %.1f of %.0f processors", s.Cores, s.Processors)
	}
	if s.Rate == 0 {
		why = "nothing got done; " + why
	}
	return verdict{b.condition, why}
}

// busiest names the activities that take most of the time, the largest first: at most three of 5 % and more.
func busiest(shares map[string]float64) string {
	type part struct {
		activity string
		share    float64
	}
	var parts []part
	for activity, share := range shares {
		if share >= 0.05 {
			parts = append(parts, part{activity, share})
		}
	}
	slices.SortFunc(parts, func(a, b part) int {
		if a.share != b.share {
			if a.share > b.share {
				return -1
			}
			return 1
		}
		return strings.Compare(a.activity, b.activity)
	})
	var words []string
	for _, p := range parts[:min(3, len(parts))] {
		words = append(words, p.activity+" "+percentage(p.share))
	}
	return strings.Join(words, ", ")
}

func percentage(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

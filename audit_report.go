package main

import (
	"fmt"
	"strings"
)

// auditReport is what an audit found.
type auditReport struct {
	Partitions []partitionAudit `json:"partitions"`
	Views      []viewAudit      `json:"views"`
}

// partitionAudit is one topic-partition. Counts are of records or rows; ranges are of offsets.
type partitionAudit struct {
	Topic     string `json:"topic"`
	Table     string `json:"table"`
	Partition int32  `json:"partition"`
	// By is how the two sides were compared.
	By auditBy `json:"by"`
	// Kafka holds [Start, End); the sink has released everything below Released, and planned everything below Planned.
	Start    int64 `json:"start"`
	End      int64 `json:"end"`
	Released int64 `json:"released"`
	Planned  int64 `json:"planned"`

	// Records of Kafka that were compared, and Rows of ClickHouse.
	Records int64 `json:"records"`
	Rows    int64 `json:"rows"`
	// Excused records have no row and need none, because a dead letter names them. A catalogue entry that does not decode
	// is counted here too.
	Excused int64 `json:"excused"`
	// Pending records do not decode, and the processors have not come to them.
	Pending int64 `json:"pending"`
	// Expired records are older than a row is kept, and have none.
	Expired int64 `json:"expired"`
	// Gone rows are of records that are not in Kafka any more and cannot be compared.
	Gone int64 `json:"gone"`
	// InFlight rows are planned and not yet released.
	InFlight int64 `json:"in_flight"`
	// Unproven offsets have no row in a quick audit: markers, undecodable records or loss.
	Unproven int64 `json:"unproven"`

	Missing []auditRange `json:"missing"`
	Doubled []auditRange `json:"doubled"`
	Stray   []auditRange `json:"stray"`
}

// auditBy is a way to compare.
type auditBy string

const (
	byOffset auditBy = "offset"
	// byNewest compares the newest row of each key, where rows replace each other.
	byNewest auditBy = "newest row"
	byCount  auditBy = "count"
)

// viewAudit is a materialized view's target against a recomputation from one of its base tables.
type viewAudit struct {
	View   string `json:"view"`
	Source string `json:"source"`
	// Due rows or values follow from the base table; the others are findings. Stray is -1 where it cannot be told.
	Due       int64 `json:"due"`
	Missing   int64 `json:"missing"`
	Stray     int64 `json:"stray"`
	Differing int64 `json:"differing"`
}

func (a *auditor) report() *auditReport {
	r := &auditReport{Partitions: []partitionAudit{}, Views: []viewAudit{}}
	for _, p := range a.parts {
		by := byOffset
		switch {
		case a.cfg.Quick:
			by = byCount
		case p.storage.Replaces:
			by = byNewest
		}
		r.Partitions = append(r.Partitions, partitionAudit{
			Topic: p.Topic, Table: p.storage.Table, Partition: p.Partition, By: by,
			Start: p.Start, End: p.End, Released: p.Released, Planned: p.Planned,
			Records: p.records, Rows: p.rows, Excused: p.leftOut, Pending: p.pending, Expired: p.expired,
			Gone: p.gone, InFlight: p.inFlight, Unproven: p.unproven,
			Missing: ranges(p.missing), Doubled: ranges(p.doubled), Stray: ranges(p.stray),
		})
	}
	for _, c := range a.checks {
		r.Views = append(r.Views, viewAudit{View: c.View, Source: a.kafka.Topic(c.Source), Due: c.Due, Missing: c.Missing, Stray: c.Stray, Differing: c.Differing})
	}
	return r
}

// ranges are never null in JSON.
func ranges(of []auditRange) []auditRange {
	if of == nil {
		return []auditRange{}
	}
	return of
}

// total is how many records ranges concern.
func total(ranges []auditRange) (n int64) {
	for _, r := range ranges {
		n += r.Records
	}
	return n
}

// clean says that nothing was found.
func (r *auditReport) clean() bool { return len(r.findings()) == 0 }

// verdict is one word per kind of finding.
func (p *partitionAudit) verdict() string {
	var words []string
	for _, kind := range p.kinds() {
		if len(kind.ranges) > 0 {
			words = append(words, kind.word)
		}
	}
	switch {
	case len(words) > 0:
		return strings.Join(words, ", ")
	case p.Unproven > 0:
		return "unproven"
	}
	return "clean"
}

type findingKind struct {
	word   string
	ranges []auditRange
}

func (p *partitionAudit) kinds() []findingKind {
	return []findingKind{{"missing", p.Missing}, {"doubled", p.Doubled}, {"stray", p.Stray}}
}

func (v *viewAudit) verdict() string {
	if v.Missing > 0 || v.Stray > 0 || v.Differing > 0 {
		return "disagrees"
	}
	return "clean"
}

// findings are the findings in words, the worst of each topic-partition first.
func (r *auditReport) findings() []string {
	var all []string
	for _, p := range r.Partitions {
		for _, kind := range p.kinds() {
			if n := len(kind.ranges); n > 0 {
				first := kind.ranges[0]
				text := fmt.Sprintf("%s/%d: %d %s in %s, first offsets %d to %d", p.Topic, p.Partition, total(kind.ranges), kind.word, p.Table, first.First, first.Last)
				if n > 1 {
					text += fmt.Sprintf(", and %d more ranges up to %d", n-1, kind.ranges[n-1].Last)
				}
				all = append(all, text)
			}
		}
	}
	for _, v := range r.Views {
		if v.verdict() != "clean" {
			all = append(all, fmt.Sprintf("%s from %s: %d missing, %d stray, %d differing", v.View, v.Source, v.Missing, max(0, v.Stray), v.Differing))
		}
	}
	return all
}

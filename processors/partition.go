package processors

import (
	"github.com/droplift/droplift/ingest/event"
)

// Config is what a Partition needs to know. Zero values mean the defaults of DOMAIN 2.4.
type Config struct {
	// OutOfOrderness B in ms (default 10,000): W_p = max(event_time) − B − 1.
	OutOfOrderness int64
	// AllowedLateness L in ms (default 600,000).
	AllowedLateness int64
	// IdleAfter in ms (default 30,000): an input without a record for this long, and without lag, does not hold the watermark.
	IdleAfter int64
	// ClockSkew in ms (default 60,000): an event further ahead of its ingest_time is windowed by ingest_time.
	ClockSkew int64
	// Quarantine in ms (default 7 days): an event further from its ingest_time, either way, is dead-lettered.
	Quarantine int64
	// Inputs are the kinds this partition reads.
	Inputs []event.Kind
}

// Partition runs rules over one partition number of every input. One goroutine owns it.
type Partition struct{}

// NewPartition makes an empty partition; Restore fills it from the change-log.
func NewPartition(number int32, cfg Config, catalogue Catalogue, rules []Rule) *Partition {
	panic("contract")
}

// Process judges one record and folds it in when it is accepted.
func (p *Partition) Process(r event.Record) event.Outcome { panic("contract") }

// Flush lets the rules publish. caughtUp says, per input in Config.Inputs order, that the consumer has no
// lag on it; with nowMS it decides idleness. The messages are valid until Commit or Rollback.
func (p *Partition) Flush(nowMS int64, caughtUp []bool) []event.Message { panic("contract") }

// Changes lists the change-log entries of the transaction; call it after Flush.
func (p *Partition) Changes(each func(key string, value []byte)) { panic("contract") }

func (p *Partition) Commit()   { panic("contract") }
func (p *Partition) Rollback() { panic("contract") }

// Restore puts back one change-log entry; a nil value deletes its key.
func (p *Partition) Restore(key string, value []byte) error { panic("contract") }

// Stats are counters since NewPartition, committed transactions only, and gauges of the state.
type Stats struct {
	Accepted, Duplicates, Late, Skewed uint64
	DeadLetters                        map[event.Reason]uint64
	Watermark                          int64
	StateKeys                          int
	StateBytes                         int64
}

func (p *Partition) Stats() Stats { panic("contract") }

package clickhouse

import (
	"errors"
	"time"
)

// FlushPolicy says when an open batch is due: at whichever limit comes first.
type FlushPolicy struct {
	// MaxRecords of the batch, undecodable ones included; default 100,000, at most 1,000,000: larger blocks are cut by the server.
	MaxRecords int
	// MaxBytes of the records' JSON; default 64 MiB.
	MaxBytes int
	// MaxAge since the batch's first record; default 1 s.
	MaxAge time.Duration
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
	var problems []error
	if p.MaxRecords < 0 || p.MaxRecords > maxBatchRecords {
		problems = append(problems, errors.New("a batch has between 1 and 1,000,000 records"))
	}
	if p.MaxBytes < 0 || p.MaxAge < 0 {
		problems = append(problems, errors.New("a batch's bytes and age must not be negative"))
	}
	return errors.Join(problems...)
}

// Due reports whether a batch of that many records and bytes and of that age is to be written.
func (p FlushPolicy) Due(records, bytes int, age time.Duration) bool {
	return records > 0 && (records >= p.MaxRecords || bytes >= p.MaxBytes || age >= p.MaxAge)
}

package replay

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"sync"

	"github.com/droplift/droplift/ingest/event"
)

// Config says what to replay.
type Config struct {
	Mapping *Mapping
	// Path is the file, regular and readable more than once.
	Path string
	// Source names the file in ids; empty means the mapping's name, "/" and the
	// file's base name without .gz. Under one name a replay repeats its ids.
	Source string
	// RejectPath is where refused rows go; empty means that they are only counted.
	RejectPath string
	// CheckpointPath is where progress is kept and taken up; empty means neither.
	CheckpointPath string
	// Log may be nil.
	Log *slog.Logger
}

// Validate reports every problem of the configuration at once.
func (c *Config) Validate() error {
	var errs []error
	if c.Mapping == nil {
		errs = append(errs, errors.New("replay: no mapping"))
	}
	if c.Path == "" {
		errs = append(errs, errors.New("replay: no file"))
	}
	if c.RejectPath != "" && c.RejectPath == c.CheckpointPath {
		errs = append(errs, errors.New("replay: the reject file and the checkpoint are the same file"))
	}
	for _, path := range []string{c.RejectPath, c.CheckpointPath} {
		if path != "" && path == c.Path {
			errs = append(errs, fmt.Errorf("replay: %s would be overwritten", path))
		}
	}
	return errors.Join(errs...)
}

// Item is one event with where it came from.
type Item struct {
	// Number is the record's number, to be acknowledged. Line is its physical line, in Parquet its row.
	Number uint64
	Line   int64
	// Event is valid until the next call of Next; its strings stay.
	Event event.Event
	// Message is Event encoded under its partition key; the caller owns its bytes.
	Message event.Message
}

// Stats counts what became of the records of this run. Every record is an
// event, skipped, rejected, or acknowledged in an earlier run.
type Stats struct {
	Records, Events, Skipped, Rejected, Resumed int64
	// Reasons splits Rejected.
	Reasons map[string]int64
	// Unmatched counts the rows for which a lookup found nothing, by the column that it adds.
	Unmatched map[string]int64
	// Residues counts amounts that a tolerance rounded.
	Residues int64
}

// Reader turns one file into events. Next and Close belong to one goroutine;
// Ack, Checkpoint, Progress and Stats may be called from any.
type Reader struct {
	config  Config
	input   *input
	source  source
	plan    *plan
	rejects *rejects
	mark    checkpoint
	row     row
	record  uint64
	resumed uint64
	scratch event.Event
	decoder event.Decoder
	err     error

	mu      sync.Mutex
	tracker tracker
	stats   Stats
	saved   uint64
	saving  sync.Mutex // held while the checkpoint is written
}

// Open opens the file and binds the mapping to it: a column that is not there is
// an error here, all of them at once. With a checkpoint it goes on behind the
// last acknowledged record, or fails with ErrChanged.
func Open(config Config) (*Reader, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Source == "" {
		config.Source = config.Mapping.name + "/" + strings.TrimSuffix(filepath.Base(config.Path), ".gz")
	}
	r := &Reader{config: config}
	r.stats.Reasons = make(map[string]int64)
	r.stats.Unmatched = make(map[string]int64)
	if err := r.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("replay %s: %w", config.Path, err), r.closeFiles())
	}
	return r, nil
}

func (r *Reader) open() (err error) {
	m := r.config.Mapping
	if r.input, err = openInput(r.config.Path); err != nil {
		return err
	}
	computed, values, err := m.computed(r.config.Path)
	if err != nil {
		return err
	}
	if r.source, err = m.format.open(r.input, m.wanted(computed)); err != nil {
		return err
	}
	var lookups []*matches
	for i := range m.lookups {
		l, err := m.lookups[i].load(r.config.Path)
		if err != nil {
			return err
		}
		lookups = append(lookups, l)
	}
	if r.plan, err = m.bind(r.config.Path, r.source.columns(), computed, values, lookups); err != nil {
		return err
	}
	if err := r.resume(lookups); err != nil {
		return err
	}
	if r.config.RejectPath != "" {
		r.rejects, err = openRejects(r.config.RejectPath, r.resumed)
	}
	return err
}

// open returns the rows of a file; paths are the columns that a source without a header is asked for.
func (f *format) open(in *input, paths []string) (source, error) {
	if f.kind == formatParquet {
		rows, err := newParquet(in)
		if err != nil { // not the nil rows: as a source they would not be nil
			return nil, err
		}
		return rows, nil
	}
	text, _, err := decompress(in)
	if err != nil {
		return nil, err
	}
	physical, err := newLines(text)
	if err != nil {
		return nil, err
	}
	switch f.kind {
	case formatMatrix:
		return newMatrix(f, physical), nil
	case formatJSONL:
		return newJSONLines(physical, paths), nil
	}
	rows, err := newTable(f, physical)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (r *Reader) resume(lookups []*matches) error {
	if r.config.CheckpointPath == "" {
		return nil
	}
	content, err := fingerprint(r.config.Path)
	if err != nil {
		return err
	}
	r.mark = checkpoint{
		Path: r.config.Path, Source: r.config.Source,
		Content: content, Mapping: hex.EncodeToString(r.config.Mapping.digest[:]),
	}
	for _, l := range lookups {
		r.mark.Lookups = append(r.mark.Lookups, l.sum)
	}
	if r.resumed, err = readCheckpoint(r.config.CheckpointPath, &r.mark); err != nil {
		return err
	}
	r.saved = r.resumed
	r.tracker = tracker{read: r.resumed, done: r.resumed}
	if r.resumed > 0 {
		r.config.Log.Info("replay goes on", "file", r.config.Path, "after_record", r.resumed)
	}
	return nil
}

// Next fills item with the next event; io.EOF after the last. Bad rows go to the
// reject file on the way. Any other error ends the file and is returned again.
func (r *Reader) Next(item *Item) error {
	for r.err == nil {
		if err := r.source.next(&r.row); err != nil {
			r.err = io.EOF
			if err != io.EOF {
				r.err = fmt.Errorf("replay %s: %w", r.config.Path, err)
			}
			break
		}
		r.record++
		if r.record <= r.resumed {
			r.mu.Lock()
			r.stats.Records++
			r.stats.Resumed++
			r.mu.Unlock()
			continue
		}
		if r.take(item) {
			return nil
		}
	}
	return r.err
}

// take turns the row into item, or disposes of it.
func (r *Reader) take(item *Item) bool {
	var count tally
	problem := r.row.problem
	if problem == nil {
		problem = r.plan.complete(&r.row, r.record, &count)
	}
	if problem == nil && r.plan.skips(&r.row) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.dispose(func(s *Stats) { s.Skipped++ })
		return false
	}
	if problem == nil {
		problem = r.build(item, &count)
	}
	if problem != nil {
		r.refuse(problem)
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tracker.read = r.record
	r.stats.Records++
	r.stats.Events++
	r.stats.Residues += count.residues
	for _, i := range count.unmatched {
		r.stats.Unmatched[r.plan.lookups[i].value]++
	}
	return true
}

// build fills and encodes the event, and decodes it again: what a file yields is
// refused by the same rules as what clients send.
func (r *Reader) build(item *Item, count *tally) *rejection {
	ev := &item.Event
	ev.Reset(r.config.Mapping.kind)
	if problem := r.plan.fill(ev, &r.row, count); problem != nil {
		return problem
	}
	if ev.EventTime > maxTimeMS {
		problem := reject(event.ReasonOutOfRange.String(), "the year is beyond 10,000")
		problem.field = "event_time"
		return problem
	}
	// History is taken in when it happened, unless the mapping says otherwise:
	// else every old row would look like a wrong clock.
	if ev.IngestTime == 0 {
		ev.IngestTime = ev.EventTime
	}
	if ev.ID == (event.Envelope{}).ID {
		ev.ID = identity(r.config.Source, r.record, max(ev.EventTime, 0))
	}
	item.Message = message(ev)
	if err := r.decoder.Decode(ev.Kind, item.Message.Value, &r.scratch); err != nil {
		return r.plan.refusal(err, &r.row)
	}
	item.Number, item.Line = r.record, r.row.line
	return nil
}

// refuse writes the row down before it counts as done: a checkpoint that covers
// it must not outlive its line in the reject file.
func (r *Reader) refuse(problem *rejection) {
	r.config.Log.Debug("row refused", "file", r.config.Path, "line", r.row.line, "reason", problem.reason, "detail", problem.detail)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rejects != nil {
		if r.err = r.rejects.write(&Reject{
			File: r.config.Path, Line: r.row.line, Record: r.record, Column: problem.column, Field: problem.field,
			Reason: problem.reason, Detail: problem.detail, Raw: r.row.raw,
		}); r.err != nil {
			r.err = fmt.Errorf("replay: reject file: %w", r.err)
			return
		}
	}
	r.dispose(func(s *Stats) {
		s.Rejected++
		s.Reasons[problem.reason]++
	})
}

// dispose counts a record that has no event, which is done with at once; r.mu is held.
func (r *Reader) dispose(add func(*Stats)) {
	r.stats.Records++
	add(&r.stats)
	r.tracker.read = r.record
	r.err = r.tracker.finish(r.record)
}

// Ack says that the broker has the record; calls come in any order, and again does no harm.
func (r *Reader) Ack(number uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tracker.finish(number)
}

// Acked is the last record up to which all are acknowledged, skipped or refused.
func (r *Reader) Acked() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tracker.done
}

// Checkpoint writes Acked down, if there is a checkpoint file and it moved. It
// syncs to disk: call it every second or so, not for every record.
func (r *Reader) Checkpoint() error {
	if r.config.CheckpointPath == "" {
		return nil
	}
	r.saving.Lock()
	defer r.saving.Unlock()
	acked := r.Acked()
	if acked == r.saved {
		return nil
	}
	if r.rejects != nil {
		r.mu.Lock()
		err := r.rejects.sync()
		r.mu.Unlock()
		if err != nil {
			return fmt.Errorf("replay: reject file: %w", err)
		}
	}
	mark := r.mark
	mark.Acked = acked
	if err := mark.write(r.config.CheckpointPath); err != nil {
		return fmt.Errorf("replay: checkpoint: %w", err)
	}
	r.saved = acked
	return nil
}

// Progress says how many of the file's bytes were read: compressed ones where it is compressed.
func (r *Reader) Progress() (read, total int64) {
	return min(r.input.read.Load(), r.input.size), r.input.size
}

// Stats returns the counts so far.
func (r *Reader) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Reasons = maps.Clone(s.Reasons)
	s.Unmatched = maps.Clone(s.Unmatched)
	return s
}

// Close takes a last checkpoint and closes the files.
func (r *Reader) Close() error {
	return errors.Join(r.Checkpoint(), r.closeFiles())
}

func (r *Reader) closeFiles() error {
	var errs []error
	if p, ok := r.source.(*parquetRows); ok {
		p.close()
	}
	if r.input != nil {
		errs = append(errs, r.input.file.Close())
	}
	if r.rejects != nil {
		errs = append(errs, r.rejects.close())
	}
	return errors.Join(errs...)
}

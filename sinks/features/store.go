package features

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
)

// Config of a Store.
type Config struct {
	// Total is how many partitions the features topic has.
	Total int32
	// Partitions that this store serves. Default all.
	Partitions []int32
	// PartitionOf says which partition a player's features are in; it is asked for players that are not found.
	PartitionOf func(player string) int32
	// TTLMS is the age (ms of event time) above which features are stale. Default the feature set's.
	TTLMS int64
	// Registerer of the metrics. Default: none.
	Registerer prometheus.Registerer
	// Logger. Default: discard.
	Logger *slog.Logger
	// Now is the clock that freshness is measured by. Default time.Now.
	Now func() time.Time
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	if c.Total < 1 {
		errs = append(errs, fmt.Errorf("features: %d partitions in all", c.Total))
	}
	for i, p := range c.Partitions {
		if p < 0 || p >= c.Total {
			errs = append(errs, fmt.Errorf("features: partition %d is not one of the topic's %d", p, c.Total))
		}
		if slices.Contains(c.Partitions[:i], p) {
			errs = append(errs, fmt.Errorf("features: partition %d is named twice", p))
		}
	}
	if c.PartitionOf == nil {
		errs = append(errs, errors.New("features: nothing says which partition a player is in"))
	}
	if c.TTLMS < 0 {
		errs = append(errs, fmt.Errorf("features: a TTL of %d ms", c.TTLMS))
	}
	return errors.Join(errs...)
}

// shardCount bounds how long a lookup may wait for an update: a power of two.
const shardCount = 256

// Store holds the newest features of the players of its partitions. Apply and ApplyProgress each have one caller
// at a time; everything else is safe for concurrent use.
type Store struct {
	cfg     Config
	log     *slog.Logger
	seed    maphash.Seed
	shards  [shardCount]shard
	parts   map[int32]*partition // fixed
	metrics *storeMetrics

	records  reading // Apply's
	progress reading // ApplyProgress'
}

// reading is one caller's scratch memory.
type reading struct {
	decoder  event.Decoder
	features event.Features
	pack     []byte
}

// shard is a part of the players. An entry is one string: the key, then the partition and the packed features as the value,
// so that a player is one allocation without pointers.
type shard struct {
	mu      sync.RWMutex
	players map[string]string
	_       [24]byte // a cache line each
}

// partition is how far one has come.
type partition struct {
	watermark atomic.Int64
	next, end atomic.Int64 // as in Batch
	met       atomic.Bool  // it has been caught up with once
	lag       prometheus.Gauge
}

func (p *partition) caughtUp() bool {
	end := p.end.Load()
	return end >= 0 && p.next.Load() >= end
}

func (p *partition) see(watermark int64) {
	for {
		was := p.watermark.Load()
		if watermark <= was || p.watermark.CompareAndSwap(was, watermark) {
			return
		}
	}
}

// NewStore registers metrics of an empty store.
func NewStore(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.TTLMS == 0 {
		cfg.TTLMS = feature.Player.TTLMS
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Partitions == nil {
		for p := range cfg.Total {
			cfg.Partitions = append(cfg.Partitions, p)
		}
	}
	s := &Store{cfg: cfg, log: cfg.Logger, seed: maphash.MakeSeed(), parts: map[int32]*partition{}}
	var err error
	if s.metrics, err = newStoreMetrics(cfg.Registerer); err != nil {
		return nil, err
	}
	for _, p := range cfg.Partitions {
		s.parts[p] = &partition{lag: s.metrics.lag.WithLabelValues(fmt.Sprint(p))}
	}
	s.Clear()
	return s, nil
}

// Clear forgets everything, for when the topic is read from its start again.
func (s *Store) Clear() {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sh.players = map[string]string{}
		sh.mu.Unlock()
	}
	for _, p := range s.parts {
		p.watermark.Store(-1)
		p.next.Store(0)
		p.end.Store(-1)
		p.met.Store(false)
	}
	s.metrics.players.Set(0)
	s.metrics.bytes.Set(0)
}

// Partitions that the store serves. The caller owns the slice.
func (s *Store) Partitions() []int32 { return slices.Clone(s.cfg.Partitions) }

// Batch is what comes next of one partition of the features topic.
type Batch struct {
	Partition int32
	// Records in offset order; none when only the end has moved.
	Records []event.Record
	// Next is the offset after them, End the one after the last committed record, −1 while it is not known.
	Next, End int64
}

// Apply folds records in: a newer revision replaces an older one, a tombstone deletes the player. A record that is
// not valid is counted and logged by its offset, and the player's last good one stays: it has been dead-lettered by nobody, and every
// replica reads it again at every start. The error names a partition that the store does not serve.
func (s *Store) Apply(b Batch) error {
	p := s.parts[b.Partition]
	if p == nil {
		return fmt.Errorf("features: partition %d is not served here", b.Partition)
	}
	now := s.cfg.Now().UnixMilli()
	for i := range b.Records {
		r := &b.Records[i]
		outcome := s.fold(p, b.Partition, r)
		s.metrics.records[outcome].Inc()
		if outcome == recordApplied && p.met.Load() {
			s.metrics.freshness.Observe(float64(now-r.Timestamp) / 1000)
		}
	}
	p.next.Store(b.Next)
	p.end.Store(b.End)
	if b.End >= 0 {
		p.lag.Set(float64(max(0, b.End-b.Next)))
	}
	if p.caughtUp() {
		p.met.Store(true)
	}
	return nil
}

func (s *Store) fold(p *partition, number int32, r *event.Record) recordOutcome {
	if len(r.Value) == 0 {
		s.remove(string(r.Key))
		return recordDeleted
	}
	in := &s.records
	if err := in.decoder.Features(r.Value, &in.features); err != nil {
		s.log.Warn("a features record is not valid and is left out", "partition", number, "offset", r.Offset, "error", err.Error())
		return recordInvalid
	}
	f := &in.features
	if f.PlayerID != string(r.Key) {
		s.log.Warn("a features record's key is not its player and it is left out", "partition", number, "offset", r.Offset)
		return recordInvalid
	}
	p.see(f.Watermark)
	in.pack = append(in.pack[:0], f.PlayerID...)
	in.pack = binary.AppendUvarint(in.pack, uint64(number))
	in.pack = f.AppendPacked(in.pack)
	if !s.put(string(in.pack), len(f.PlayerID), f.Revision) {
		return recordOlder
	}
	return recordApplied
}

// ApplyProgress takes in records of the progress topic, of which every partition holds them all: how far event time has come
// in partitions whose players are silent.
func (s *Store) ApplyProgress(records []event.Record) {
	var told event.Progress
	for i := range records {
		if len(records[i].Value) == 0 {
			continue
		}
		if err := s.progress.decoder.Progress(records[i].Value, &told); err != nil {
			s.metrics.records[recordInvalid].Inc()
			s.log.Warn("a progress record is not valid and is left out", "offset", records[i].Offset, "error", err.Error())
			continue
		}
		if p := s.parts[told.Partition]; p != nil {
			p.see(told.Watermark)
		}
	}
}

func (s *Store) shard(player string) *shard { return &s.shards[s.shardOf(player)] }

func (s *Store) shardOf(player string) int { return int(maphash.String(s.seed, player) % shardCount) }

// put keeps an entry whose first key bytes are the player, unless a newer revision is there.
func (s *Store) put(entry string, key int, revision uint64) bool {
	player, value := entry[:key], entry[key:]
	sh := s.shard(player)
	sh.mu.Lock()
	old, known := sh.players[player]
	if known && revisionOf(old) > revision {
		sh.mu.Unlock()
		return false
	}
	sh.players[player] = value // takes the new key too, so that the old entry can go
	sh.mu.Unlock()
	if known {
		s.metrics.bytes.Add(float64(len(value) - len(old)))
	} else {
		s.metrics.players.Inc()
		s.metrics.bytes.Add(float64(len(entry)))
	}
	return true
}

func (s *Store) remove(player string) {
	sh := s.shard(player)
	sh.mu.Lock()
	old, known := sh.players[player]
	delete(sh.players, player)
	sh.mu.Unlock()
	if known {
		s.metrics.players.Dec()
		s.metrics.bytes.Sub(float64(len(player) + len(old)))
	}
}

// unpack reads an entry's value.
func unpack(value string, f *event.Features) (partition int32, whole bool) {
	number, n := uint64(0), 0
	for n < len(value) && n < binary.MaxVarintLen32 {
		b := value[n]
		number |= uint64(b&0x7f) << (7 * n)
		n++
		if b < 0x80 {
			return int32(number), f.Unpack(value[n:])
		}
	}
	return 0, false
}

func revisionOf(value string) uint64 {
	var f event.Features
	unpack(value, &f)
	return f.Revision
}

// Freshness says how far an answer may be trusted.
type Freshness struct {
	// Partition the player belongs to, and whether it is one of this store's: an unknown player of another store's may exist there.
	Partition int32
	Served    bool
	// AsOf is the event time up to which the features reach, Revision and Maturity are theirs; zero for an unknown player.
	AsOf     int64
	Revision uint64
	Maturity event.Maturity
	// Watermark of the partition now, −1 when there is none yet: no event at or before it is expected any more.
	Watermark int64
	// CaughtUp says that everything committed had been read when the log's end was last looked at.
	CaughtUp bool
}

// Complete says that no event up to AsOf can be missing but for late ones.
func (f Freshness) Complete() bool { return f.CaughtUp && f.Watermark >= f.AsOf }

// Age is how old (ms of event time) the newest event behind the features is at a scoring time; negative when they know of later ones.
func (f Freshness) Age(at int64) int64 { return at - f.AsOf }

// Lookup fills f, when the player is known, without an allocation; its strings stay valid. Freshness is meaningful either way.
func (s *Store) Lookup(player string, f *event.Features) (Freshness, bool) {
	sh := s.shard(player)
	sh.mu.RLock()
	value, known := sh.players[player]
	sh.mu.RUnlock()
	var at Freshness
	if known {
		at.Partition, known = unpack(value, f)
	}
	if !known {
		at.Partition = s.cfg.PartitionOf(player)
	} else {
		f.PlayerID = player
		at.AsOf, at.Revision, at.Maturity = f.AsOf, f.Revision, f.Maturity
	}
	at.Watermark = -1
	if p := s.parts[at.Partition]; p != nil {
		at.Served, at.Watermark, at.CaughtUp = true, p.watermark.Load(), p.caughtUp()
	}
	return at, known
}

// Outcome is what a lookup came to. It is a metric label.
type Outcome string

const (
	// Found features are within their TTL.
	Found Outcome = "found"
	// Stale features are older.
	Stale Outcome = "stale"
	// Unknown players have no features.
	Unknown Outcome = "unknown"
	// Elsewhere are players of partitions that another replica serves.
	Elsewhere Outcome = "elsewhere"
)

// Judge names and counts the outcome of a Lookup for the scoring time at (Unix ms).
func (s *Store) Judge(f Freshness, found bool, at int64) Outcome {
	outcome := Found
	switch {
	case !found && !f.Served:
		outcome = Elsewhere
	case !found:
		outcome = Unknown
	case f.Age(at) > s.cfg.TTLMS:
		outcome = Stale
	}
	s.metrics.lookups[outcome].Inc()
	return outcome
}

// Len is how many players are known.
func (s *Store) Len() int {
	n := 0
	for i := range s.shards {
		s.shards[i].mu.RLock()
		n += len(s.shards[i].players)
		s.shards[i].mu.RUnlock()
	}
	return n
}

// Ready says which partitions have not been read to their end yet, nil once all have.
func (s *Store) Ready() error {
	var waits []int32
	for _, p := range s.cfg.Partitions {
		if !s.parts[p].met.Load() {
			waits = append(waits, p)
		}
	}
	if waits == nil {
		return nil
	}
	return fmt.Errorf("features: partitions %v have not been read to their end yet", waits)
}

package metrics

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// chunkSamples is after how many samples a chunk is full: 10 min of scrapes, as in Prometheus. A chunk is also what
// retention drops at a time, and what a reader copies of the one that is still written.
const chunkSamples = 120

// store keeps samples in memory, compressed. One goroutine appends; any number read.
type store struct {
	retention time.Duration
	maxSeries int

	mu     sync.RWMutex
	series map[string]*memSeries // by the bytes of their labels
	byName map[string][]*memSeries
	scrape uint64 // how many scrapes there have been
	key    []byte
}

// memSeries is one series: full chunks, which never change, and the one that is written.
type memSeries struct {
	labels labels.Labels
	full   []chunk
	head   *chunkenc.XORChunk
	write  chunkenc.Appender
	first  int64 // of head
	newest int64
	seen   uint64 // the last scrape that had it
	stale  bool
}

// chunk holds samples of the time [from, to] in Unix ms.
type chunk struct {
	from, to int64
	data     []byte
}

func newStore(retention time.Duration, maxSeries int) *store {
	return &store{retention: retention, maxSeries: maxSeries, series: map[string]*memSeries{}, byName: map[string][]*memSeries{}}
}

// sample is one value of a scrape.
type sample struct {
	labels labels.Labels
	value  float64
}

// append takes in a scrape at Unix ms at: a series that it lacks ends there. It returns how many samples were
// refused because there are too many series. A scrape that is not later than the one before is ignored.
func (s *store) append(at int64, scraped []sample) (refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scrape++
	for _, sample := range scraped {
		s.key = sample.labels.Bytes(s.key)
		series, ok := s.series[string(s.key)]
		if !ok {
			if len(s.series) >= s.maxSeries {
				refused++
				continue
			}
			series = &memSeries{labels: sample.labels, newest: math.MinInt64}
			name := sample.labels.Get(labels.MetricName)
			s.series[string(s.key)] = series
			s.byName[name] = append(s.byName[name], series)
		}
		series.append(at, sample.value)
		series.seen, series.stale = s.scrape, false
	}
	oldest := at - s.retention.Milliseconds()
	for key, series := range s.series {
		if series.seen != s.scrape && !series.stale {
			series.append(at, math.Float64frombits(value.StaleNaN))
			series.stale = true
		}
		if series.forget(oldest) {
			name := series.labels.Get(labels.MetricName)
			s.byName[name] = slices.DeleteFunc(s.byName[name], func(other *memSeries) bool { return other == series })
			if len(s.byName[name]) == 0 {
				delete(s.byName, name)
			}
			delete(s.series, key)
		}
	}
	return refused
}

func (m *memSeries) append(at int64, v float64) {
	if at <= m.newest {
		return
	}
	if m.head != nil && m.head.NumSamples() >= chunkSamples {
		m.full = append(m.full, chunk{m.first, m.newest, slices.Clone(m.head.Bytes())})
		m.head = nil
	}
	if m.head == nil {
		m.head, m.first = chunkenc.NewXORChunk(), at
		m.write, _ = m.head.Appender() // fails on a chunk that is cut short only
	}
	m.write.Append(0, at, v)
	m.newest = at
}

// forget drops chunks that end before oldest, and says whether nothing is left.
func (m *memSeries) forget(oldest int64) bool {
	keep := 0
	for keep < len(m.full) && m.full[keep].to < oldest {
		keep++
	}
	if keep > 0 {
		// A copy, since readers still hold the old list, and so that its array is freed.
		m.full = slices.Clone(m.full[keep:])
	}
	return m.newest < oldest
}

// size is how many series there are, and the bytes of their samples.
func (s *store) size() (series, bytes int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.series {
		bytes += len(m.head.Bytes())
		for _, c := range m.full {
			bytes += len(c.data)
		}
	}
	return len(s.series), bytes
}

// Querier implements storage.Queryable.
func (s *store) Querier(from, to int64) (storage.Querier, error) {
	return &querier{store: s, from: from, to: to}, nil
}

type querier struct {
	store    *store
	from, to int64
}

func (q *querier) Close() error { return nil }

// LabelNames and LabelValues implement storage.LabelQuerier, which the engine does not ask.
func (q *querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (q *querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Select implements storage.Querier. What it hands out is as of now: later appends do not show.
func (q *querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	q.store.mu.RLock()
	for _, m := range q.store.candidates(matchers) {
		if !matches(m.labels, matchers) {
			continue
		}
		if chunks := m.between(q.from, q.to); len(chunks) > 0 {
			found = append(found, &storage.SeriesEntry{Lset: m.labels, SampleIteratorFn: func(reuse chunkenc.Iterator) chunkenc.Iterator {
				return iterate(reuse, chunks)
			}})
		}
	}
	q.store.mu.RUnlock()
	// Always sorted, so that equal questions have equal answers.
	slices.SortFunc(found, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &seriesSet{series: found, at: -1}
}

// candidates are the series of the name that the matchers ask for, or all.
func (s *store) candidates(matchers []*labels.Matcher) []*memSeries {
	for _, m := range matchers {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual {
			return s.byName[m.Value]
		}
	}
	var all []*memSeries
	for _, series := range s.series {
		all = append(all, series)
	}
	return all
}

func matches(l labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(l.Get(m.Name)) {
			return false
		}
	}
	return true
}

// between are the chunks that have samples from from to to. The written one is copied, as appending changes its bytes in place.
func (m *memSeries) between(from, to int64) []chunk {
	var chunks []chunk
	for _, c := range m.full {
		if c.to >= from && c.from <= to {
			chunks = append(chunks, c)
		}
	}
	if m.newest >= from && m.first <= to {
		chunks = append(chunks, chunk{m.first, m.newest, slices.Clone(m.head.Bytes())})
	}
	return chunks
}

// seriesSet implements storage.SeriesSet over a list.
type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series                { return s.series[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// iterate walks through chunks one after another.
func iterate(reuse chunkenc.Iterator, chunks []chunk) chunkenc.Iterator {
	iterators := make([]chunkenc.Iterator, len(chunks))
	for i, c := range chunks {
		decoded, _ := chunkenc.FromData(chunkenc.EncXOR, c.data) // fails on unknown encodings only
		iterators[i] = decoded.Iterator(nil)
	}
	return storage.ChainSampleIteratorFromIterators(reuse, iterators)
}

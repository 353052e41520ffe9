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

// A chunk holds at most chunkSamples of one window: 10 min of scrapes every 5 s, as many as in Prometheus. A chunk is
// also what retention drops at a time, and what a reader copies of the one that is still written.
const (
	window       = 10 * time.Minute
	chunkSamples = 240
)

// windowOf is the begin of the window of a time in Unix ms.
func windowOf(at int64) int64 { return at - at%window.Milliseconds() }

// store keeps samples in memory, compressed. One goroutine appends; any number read.
type store struct {
	retention time.Duration
	maxSeries int

	mu     sync.RWMutex
	series map[string]*memSeries // by the bytes of their labels
	byName map[string][]*memSeries
	scrape uint64 // how many scrapes there have been
	newest int64  // of all samples
	key    []byte
}

// memSeries is one series: full chunks, which never change, and the one that is written.
type memSeries struct {
	labels labels.Labels
	full   []chunk
	head   *chunkenc.XORChunk // nil until the first sample that is not of an earlier process
	write  chunkenc.Appender
	first  int64 // of head
	newest int64
	seen   uint64 // the last scrape that had it
	stale  bool
}

// chunk holds samples of the time [From, To] in Unix ms, all of one window.
type chunk struct {
	From, To int64
	Data     []byte
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
	s.newest = max(s.newest, at)
	for _, sample := range scraped {
		s.key = sample.labels.Bytes(s.key)
		series, ok := s.series[string(s.key)]
		if !ok {
			if series = s.add(sample.labels); series == nil {
				refused++
				continue
			}
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

// add makes a series of these labels, whose bytes are in key; nil where there are too many.
func (s *store) add(l labels.Labels) *memSeries {
	if len(s.series) >= s.maxSeries {
		return nil
	}
	series := &memSeries{labels: l, newest: math.MinInt64}
	name := l.Get(labels.MetricName)
	s.series[string(s.key)] = series
	s.byName[name] = append(s.byName[name], series)
	return series
}

func (m *memSeries) append(at int64, v float64) {
	if at <= m.newest {
		return
	}
	if m.head != nil && (m.head.NumSamples() >= chunkSamples || windowOf(at) != windowOf(m.first)) {
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
	for keep < len(m.full) && m.full[keep].To < oldest {
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
		if m.head != nil {
			bytes += len(m.head.Bytes())
		}
		for _, c := range m.full {
			bytes += len(c.Data)
		}
	}
	return len(s.series), bytes
}

// oldest is the time of the oldest sample in Unix ms, or math.MaxInt64.
func (s *store) oldest() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	oldest := int64(math.MaxInt64)
	for _, m := range s.series {
		if len(m.full) > 0 {
			oldest = min(oldest, m.full[0].From)
		} else {
			oldest = min(oldest, m.first)
		}
	}
	return oldest
}

// keptSeries is a series in a file: names and values of its labels in turn, and chunks in order.
type keptSeries struct {
	Labels []string
	Chunks []chunk
}

// in are the series that have chunks in the window that begins at from, by labels.
func (s *store) in(from int64) []keptSeries {
	var kept []keptSeries
	s.mu.RLock()
	for _, m := range s.series {
		if chunks := m.between(from, from+window.Milliseconds()-1); len(chunks) > 0 {
			kept = append(kept, keptSeries{pairs(m.labels), chunks})
		}
	}
	s.mu.RUnlock()
	// Equal samples make equal files, and neighbours that look alike small ones.
	slices.SortFunc(kept, func(a, b keptSeries) int { return slices.Compare(a.Labels, b.Labels) })
	return kept
}

// take adds what an earlier process kept, oldest first, before the first append. What goes back in time is left out.
func (s *store) take(kept []keptSeries) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range kept {
		l := labels.FromStrings(k.Labels...)
		s.key = l.Bytes(s.key)
		series := s.series[string(s.key)]
		if series == nil {
			if series = s.add(l); series == nil {
				continue
			}
		}
		for _, c := range k.Chunks {
			if c.From > series.newest {
				series.full = append(series.full, c)
				series.newest = c.To
			}
		}
		s.newest = max(s.newest, series.newest)
	}
}

// pause ends every series that was taken, and says when: a chart must show that nobody looked. One that the last scrape
// lacked has ended before.
func (s *store) pause() (at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at = s.newest + 1
	for _, m := range s.series {
		if m.newest == s.newest {
			m.append(at, math.Float64frombits(value.StaleNaN))
		}
		m.stale = true
	}
	s.newest = at
	return at
}

// pairs are the names and values of labels in turn.
func pairs(l labels.Labels) []string {
	list := make([]string, 0, 2*l.Len())
	l.Range(func(one labels.Label) { list = append(list, one.Name, one.Value) })
	return list
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
		if c.To >= from && c.From <= to {
			chunks = append(chunks, c)
		}
	}
	if m.head != nil && m.newest >= from && m.first <= to {
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
		decoded, _ := chunkenc.FromData(chunkenc.EncXOR, c.Data) // fails on unknown encodings only
		iterators[i] = decoded.Iterator(nil)
	}
	return storage.ChainSampleIteratorFromIterators(reuse, iterators)
}

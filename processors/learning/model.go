package learning

import (
	"cmp"
	"encoding/binary"
	"errors"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/models/scoring"
	"github.com/droplift/droplift/processors/wire"
)

// model is the state of one online model.
type model struct {
	hash string // of the feature set
	// examples and positives accepted, updates of them learned from.
	examples, positives, updates uint64
	// first and last are the least and greatest t0, newest the greatest label's end; the label's embargo and horizon are the last example's.
	first, last, newest int64
	embargo, horizon    int64
	// candidateAfter examples and at candidateAt of newest the last candidate was published, or learning began; due says that another one should be.
	candidateAfter uint64
	candidateAt    int64
	due            bool
	revision       uint64
	marks          []mark // one per partition of the first stage
	window         window
	online         *churn.Online // nil until warmed up
}

// mark is the last example that came from a partition: they come in the order of label's end, scoring time and player.
type mark struct {
	partition int32
	to, at    int64
	player    string
}

// begin forgets everything but what has been learned from: the feature set is another one.
func (m *model) begin(hash string) {
	*m = model{hash: hash, marks: m.marks, revision: m.revision}
}

// passed says whether the partition's examples have come as far as e.
func (m *model) passed(e *mark) bool {
	for i := range m.marks {
		if last := &m.marks[i]; last.partition == e.partition {
			return cmp.Or(cmp.Compare(e.to, last.to), cmp.Compare(e.at, last.at), cmp.Compare(e.player, last.player)) <= 0
		}
	}
	return false
}

func (m *model) pass(e mark) {
	for i := range m.marks {
		if m.marks[i].partition == e.partition {
			m.marks[i] = e
			return
		}
	}
	m.marks = append(m.marks, e)
}

// count takes in an example that the learner gave p, −1 where it had not begun.
func (m *model) count(e *event.Example, p float64) {
	if m.examples == 0 {
		m.first, m.last, m.candidateAt = e.ScoredAt, e.ScoredAt, e.LabelTo
	}
	m.first, m.last, m.newest = min(m.first, e.ScoredAt), max(m.last, e.ScoredAt), max(m.newest, e.LabelTo)
	m.embargo, m.horizon = e.LabelFrom-e.ScoredAt, e.LabelTo-e.LabelFrom
	// The base rate before this example, by the rule of succession.
	base := (float64(m.positives) + 1) / (float64(m.examples) + 2)
	y := label(e.Churned)
	if p >= 0 {
		m.window.voices[byOnline].add(p, y, base)
	}
	if e.ModelVersion != "" {
		m.window.voices[byChampion].add(e.P, y, base)
	}
	if e.ShadowVersion != "" {
		m.window.voices[byShadow].add(e.ShadowP, y, base)
	}
	if e.Churned {
		m.positives++
	}
}

type modelCodec struct{ names *wire.Names }

const modelVersion = 1

func (modelCodec) Append(dst []byte, m *model) []byte {
	dst = wire.AppendString(append(dst, modelVersion), m.hash)
	for _, n := range []uint64{m.examples, m.positives, m.updates, m.candidateAfter, m.revision} {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, n := range []int64{m.first, m.last, m.newest, m.embargo, m.horizon, m.candidateAt} {
		dst = binary.AppendVarint(dst, n)
	}
	dst = wire.AppendBool(dst, m.due)
	dst = binary.AppendUvarint(dst, uint64(len(m.marks)))
	for i := range m.marks {
		k := &m.marks[i]
		dst = binary.AppendUvarint(dst, uint64(k.partition))
		dst = binary.AppendVarint(binary.AppendVarint(dst, k.to), k.at)
		dst = wire.AppendString(dst, k.player)
	}
	dst = appendWindow(dst, &m.window)
	if dst = wire.AppendBool(dst, m.online != nil); m.online == nil {
		return dst
	}
	b, f := m.online.Base, m.online.FTRL
	dst = binary.AppendUvarint(dst, uint64(len(b.Weights)))
	for i := range b.Weights {
		dst = wire.AppendFloat(wire.AppendFloat(wire.AppendFloat(dst, b.Mean[i]), b.Scale[i]), b.Impute[i])
		dst = wire.AppendBool(dst, b.Log[i])
	}
	for _, v := range []float64{f.Alpha, f.Beta, f.L1, f.L2} {
		dst = wire.AppendFloat(dst, v)
	}
	for i := range f.N {
		dst = wire.AppendFloat(wire.AppendFloat(dst, f.N[i]), f.Z[i])
	}
	return dst
}

func (c modelCodec) Decode(data []byte, m *model) error {
	r, _ := wire.NewReader(data, modelVersion)
	*m = model{hash: c.names.Bytes(r.Bytes())}
	for _, n := range []*uint64{&m.examples, &m.positives, &m.updates, &m.candidateAfter, &m.revision} {
		*n = r.Unsigned()
	}
	for _, n := range []*int64{&m.first, &m.last, &m.newest, &m.embargo, &m.horizon, &m.candidateAt} {
		*n = r.Signed()
	}
	m.due = r.Bool()
	for range r.Count() {
		m.marks = append(m.marks, mark{partition: int32(r.Uint32()), to: r.Signed(), at: r.Signed(), player: string(r.Bytes())})
	}
	readWindow(&r, &m.window)
	if !r.Bool() {
		return r.Done()
	}
	n := r.Count()
	b := &scoring.Linear{Weights: make([]float64, n), Mean: make([]float64, n), Scale: make([]float64, n), Impute: make([]float64, n), Missing: make([]float64, n), Log: make([]bool, n)}
	for i := range n {
		b.Mean[i], b.Scale[i], b.Impute[i], b.Log[i] = r.Float(), r.Float(), r.Float(), r.Bool()
	}
	f := &churn.FTRL{Alpha: r.Float(), Beta: r.Float(), L1: r.Float(), L2: r.Float(), N: make([]float64, 2*n+1), Z: make([]float64, 2*n+1)}
	for i := range f.N {
		f.N[i], f.Z[i] = r.Float(), r.Float()
	}
	if err := r.Done(); err != nil {
		return err
	}
	m.online = &churn.Online{Base: b, FTRL: f}
	return m.online.Validate()
}

func (modelCodec) Deadline(*model) int64 { return 0 }

// row is one kept example: p is the learner's probability from before it learned from it, −1 where it has not yet.
type row struct {
	number  uint64
	at      int64
	churned bool
	p       float64
	vector  []float64 // NaN is missing
}

type rowCodec struct{}

const rowVersion = 1

func (rowCodec) Append(dst []byte, w *row) []byte {
	dst = binary.AppendUvarint(append(dst, rowVersion), w.number)
	dst = wire.AppendBool(binary.AppendVarint(dst, w.at), w.churned)
	return appendVector(wire.AppendFloat(dst, w.p), w.vector)
}

func (rowCodec) Decode(data []byte, w *row) error {
	r, _ := wire.NewReader(data, rowVersion)
	*w = row{number: r.Unsigned(), at: r.Signed(), churned: r.Bool(), p: r.Float(), vector: w.vector[:0]}
	w.vector = readVector(&r, w.vector)
	return r.Done()
}

func (rowCodec) Deadline(*row) int64 { return 0 }

// window is progressive validation over the examples whose label ended in [from, to).
type window struct {
	model    string
	revision uint64
	from, to int64
	voices   [numVoices]voice
}

// Who gave a probability.
const (
	byOnline = iota
	byChampion
	byShadow
	numVoices
)

var voiceNames = [numVoices]string{byOnline: "online", byChampion: "champion", byShadow: "shadow"}

const numBins = 10

// voice is what one model's probabilities came to: sums over its examples.
type voice struct {
	n, positives                  uint64
	loss, loss2, base             float64
	square, square2, miss, chance float64 // of (p−y)², its square, p−y and p
	bins                          [numBins]bin
}

// bin is a tenth of the probabilities.
type bin struct {
	n, positives uint64
	p            float64
}

func (v *voice) add(p, y, base float64) {
	loss, square := churn.LogLoss(p, y), (p-y)*(p-y)
	v.n++
	v.loss += loss
	v.loss2 += loss * loss
	v.base += churn.LogLoss(base, y)
	v.square += square
	v.square2 += square * square
	v.miss += p - y
	v.chance += p
	b := &v.bins[max(0, min(numBins-1, int(p*numBins)))]
	b.n++
	b.p += p
	if y == 1 {
		v.positives++
		b.positives++
	}
}

func appendWindow(dst []byte, w *window) []byte {
	dst = binary.AppendUvarint(wire.AppendString(dst, w.model), w.revision)
	dst = binary.AppendVarint(binary.AppendVarint(dst, w.from), w.to)
	for i := range w.voices {
		v := &w.voices[i]
		if dst = binary.AppendUvarint(dst, v.n); v.n == 0 {
			continue
		}
		dst = binary.AppendUvarint(dst, v.positives)
		for _, x := range []float64{v.loss, v.loss2, v.base, v.square, v.square2, v.miss, v.chance} {
			dst = wire.AppendFloat(dst, x)
		}
		for b := range v.bins {
			dst = binary.AppendUvarint(binary.AppendUvarint(dst, v.bins[b].n), v.bins[b].positives)
			dst = wire.AppendFloat(dst, v.bins[b].p)
		}
	}
	return dst
}

func readWindow(r *wire.Reader, w *window) {
	*w = window{model: string(r.Bytes()), revision: r.Unsigned(), from: r.Signed(), to: r.Signed()}
	for i := range w.voices {
		v := &w.voices[i]
		if v.n = r.Unsigned(); v.n == 0 {
			continue
		}
		v.positives = r.Unsigned()
		for _, x := range []*float64{&v.loss, &v.loss2, &v.base, &v.square, &v.square2, &v.miss, &v.chance} {
			*x = r.Float()
		}
		for b := range v.bins {
			v.bins[b] = bin{n: r.Unsigned(), positives: r.Unsigned(), p: r.Float()}
		}
	}
}

type windowCodec struct{}

const windowVersion = 1

func (windowCodec) Append(dst []byte, w *window) []byte {
	return appendWindow(append(dst, windowVersion), w)
}

func (windowCodec) Decode(data []byte, w *window) error {
	r, _ := wire.NewReader(data, windowVersion)
	if readWindow(&r, w); r.Failed() {
		return errors.Join(r.Done(), wire.ErrMalformed)
	}
	return r.Done()
}

func (windowCodec) Deadline(*window) int64 { return 0 }

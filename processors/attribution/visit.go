package attribution

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/droplift/droplift/models/latencyloss"
	"github.com/droplift/droplift/processors/wire"
)

// visit is what one player did in one drop, as far as it matters here. What the
// player counts as follows from it alone.
type visit struct {
	// start and end are the drop's (Unix ms) as the player was last counted by.
	start, end int64
	// view is the first landing view, 0 for none.
	view                  int64
	pop, device, language string
	// samples are the earliest landing requests, sorted.
	samples []sample
	// bought is the first completed checkout, 0 for none.
	bought int64
	// money is net, sorted by currency.
	money []account
}

// sample is one landing request.
type sample struct {
	at, us int64
	pop    string
	rate   float64
}

// maxSamples bounds the landing requests kept of a player; the exposure is among the first.
const maxSamples = 8

func (a sample) compare(b sample) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.us, b.us), cmp.Compare(a.pop, b.pop), cmp.Compare(a.rate, b.rate))
}

// account is money in minor units.
type account struct {
	currency string
	net      int64
}

// see takes in a landing view and says whether it became the first one.
func (v *visit) see(at int64, pop, device, language string) bool {
	if v.view != 0 && cmp.Or(cmp.Compare(at, v.view), cmp.Compare(pop, v.pop), cmp.Compare(device, v.device), cmp.Compare(language, v.language)) >= 0 {
		return false
	}
	v.view, v.pop, v.device, v.language = at, pop, device, language
	return true
}

// measure takes in a landing request and says whether one was dropped for it, or it itself.
func (v *visit) measure(s sample) (dropped bool) {
	i, _ := slices.BinarySearchFunc(v.samples, s, sample.compare)
	if i == maxSamples {
		return true
	}
	if dropped = len(v.samples) == maxSamples; dropped {
		v.samples = v.samples[:maxSamples-1]
	}
	v.samples = slices.Insert(v.samples, i, s)
	return dropped
}

// pay adds an amount, negative for a refund, unless the sum would leave int64.
func (v *visit) pay(currency string, amount int64) bool {
	i, found := slices.BinarySearchFunc(v.money, currency, func(a account, c string) int { return cmp.Compare(a.currency, c) })
	if !found {
		v.money = slices.Insert(v.money, i, account{currency: currency})
	}
	return add(&v.money[i].net, amount)
}

// add says whether the sum is in the range of int64; otherwise it adds nothing.
func add(to *int64, amount int64) bool {
	sum := *to + amount
	if (sum > *to) != (amount > 0) && amount != 0 {
		return false
	}
	*to = sum
	return true
}

// exposure is the first landing request near the first landing view, nil for none.
func (v *visit) exposure(joinMS int64) *sample {
	for i := range v.samples {
		if at := v.samples[i].at; at >= v.view-joinMS && at <= v.view+joinMS {
			return &v.samples[i]
		}
	}
	return nil
}

// mark is what a player counts as, in which stratum. The zero mark is nothing.
type mark struct {
	counts                bool
	pop, device, language string
	ageFrom, ageTo        int64
	measured, converted   bool
	bucket                int
	us                    int64
	rate                  float64
	// money is the visit's own for a measured viewer.
	money []account
}

func (m *mark) equal(o *mark) bool {
	return m.counts == o.counts && m.pop == o.pop && m.device == o.device && m.language == o.language && m.ageFrom == o.ageFrom &&
		m.measured == o.measured && m.converted == o.converted && m.us == o.us && m.rate == o.rate && slices.Equal(m.money, o.money)
}

// mark is what the visit counts as.
func (v *visit) mark(cfg *Config) (m mark) {
	if v.view == 0 || v.view >= v.end || v.bought != 0 && v.bought < v.view {
		return mark{}
	}
	m = mark{counts: true, pop: v.pop, device: v.device, language: v.language, converted: v.bought != 0 && v.bought < v.end, rate: 1}
	m.ageFrom, m.ageTo = cfg.ageBin(v.view - v.start)
	if s := v.exposure(cfg.JoinMS); s != nil {
		m.measured, m.us, m.rate, m.money = true, s.us, s.rate, v.money
		m.bucket = latencyloss.Bucket(float64(s.us) / 1000)
	}
	return m
}

// visitCodec writes: version, start, end, the view with its POP, device and language, the samples, the purchase, the money.
type visitCodec struct {
	refundMS int64
	names    *wire.Names
}

const visitVersion = 1

func (c visitCodec) Append(dst []byte, v *visit) []byte {
	dst = append(dst, visitVersion)
	dst = binary.AppendUvarint(dst, uint64(v.start))
	dst = binary.AppendVarint(dst, v.end-v.start)
	dst = binary.AppendUvarint(dst, uint64(v.view))
	if v.view != 0 {
		dst = wire.AppendString(wire.AppendString(wire.AppendString(dst, v.pop), v.device), v.language)
	}
	dst = binary.AppendUvarint(dst, uint64(len(v.samples)))
	for _, s := range v.samples {
		dst = binary.AppendVarint(dst, s.at-v.start)
		dst = binary.AppendUvarint(dst, uint64(s.us))
		dst = wire.AppendString(dst, s.pop)
		if s.rate == 1 {
			dst = append(dst, 0)
		} else {
			dst = wire.AppendFloat(append(dst, 1), s.rate)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(v.bought))
	dst = binary.AppendUvarint(dst, uint64(len(v.money)))
	for _, a := range v.money {
		dst = binary.AppendVarint(wire.AppendString(dst, a.currency), a.net)
	}
	return dst
}

func (c visitCodec) Decode(data []byte, v *visit) error {
	r, _ := wire.NewReader(data, visitVersion)
	*v = visit{start: r.Natural(), samples: v.samples[:0], money: v.money[:0]}
	v.end = v.start + r.Signed()
	if v.view = r.Natural(); v.view != 0 {
		v.pop, v.device, v.language = c.names.Bytes(r.Bytes()), c.names.Bytes(r.Bytes()), c.names.Bytes(r.Bytes())
	}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		s := sample{at: v.start + r.Signed(), us: r.Natural(), pop: c.names.Bytes(r.Bytes()), rate: 1}
		if r.Byte() != 0 {
			s.rate = r.Float()
		}
		v.samples = append(v.samples, s)
	}
	v.bought = r.Natural()
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		v.money = append(v.money, account{currency: c.names.Bytes(r.Bytes()), net: r.Signed()})
	}
	if v.end <= v.start || len(v.samples) > maxSamples {
		r.Fail()
	}
	return r.Done()
}

// Deadline is the last millisecond of refunds.
func (c visitCodec) Deadline(v *visit) int64 { return v.end - 1 + c.refundMS }

package localization

import (
	"encoding/binary"
	"fmt"

	"github.com/droplift/droplift/processors/wire"
)

// pane is what one partition's cues of one (drop, language) come to in one pane.
type pane struct {
	start    int64
	same     bool
	revision uint64
	counts
	latencies, translations bins
}

// counts are sums of verdicts.
type counts struct {
	expected, good, stretch, missing, unreported uint32
	slow, brief, long, dense, wordy, early       uint32
	zero, translated                             uint32
	latencySum, translationSum                   int64
}

// each calls f with every 32-bit count, in the order of the encoding.
func (c *counts) each(f func(*uint32)) {
	for _, n := range [...]*uint32{
		&c.expected, &c.good, &c.stretch, &c.missing, &c.unreported,
		&c.slow, &c.brief, &c.long, &c.dense, &c.wordy, &c.early, &c.zero, &c.translated,
	} {
		f(n)
	}
}

// add counts a verdict, or takes it back (sign −1), and says whether it was there to take.
func (p *pane) add(v *verdict, sign int32, index func(ms int64) int64) bool {
	ok := true
	count := func(n *uint32, when bool) {
		if !when {
			return
		}
		if sign < 0 && *n == 0 {
			ok = false
			return
		}
		*n = uint32(int64(*n) + int64(sign))
	}
	count(&p.expected, true)
	count(&p.good, v.good())
	count(&p.stretch, v.stretch)
	count(&p.missing, v.state != shown)
	count(&p.unreported, v.state == unreported)
	for _, f := range [...]struct {
		n    *uint32
		mark fault
	}{{&p.slow, slow}, {&p.brief, brief}, {&p.long, long}, {&p.dense, dense}, {&p.wordy, wordy}, {&p.early, early}} {
		count(f.n, v.faults&f.mark != 0)
	}
	p.latencySum += int64(sign) * v.latency
	if count(&p.zero, v.latency == 0); v.latency > 0 {
		ok = p.latencies.add(index(v.latency), sign) && ok
	}
	if v.translation > 0 {
		count(&p.translated, true)
		p.translationSum += int64(sign) * v.translation
		ok = p.translations.add(index(v.translation), sign) && ok
	}
	return ok
}

type paneCodec struct{ paneMS int64 }

const paneVersion = 1

func (k paneCodec) Append(dst []byte, p *pane) []byte {
	dst = append(dst, paneVersion)
	dst = binary.AppendUvarint(dst, uint64(k.paneMS))
	dst = binary.AppendUvarint(dst, uint64(p.start))
	dst = append(dst, flag(p.same, 1))
	dst = binary.AppendUvarint(dst, p.revision)
	p.each(func(n *uint32) { dst = binary.AppendUvarint(dst, uint64(*n)) })
	dst = binary.AppendUvarint(dst, uint64(p.latencySum))
	dst = binary.AppendUvarint(dst, uint64(p.translationSum))
	return appendBins(appendBins(dst, p.latencies), p.translations)
}

func (k paneCodec) Decode(data []byte, p *pane) error {
	r, _ := wire.NewReader(data, paneVersion)
	if width := r.Natural(); !r.Failed() && width != k.paneMS {
		return fmt.Errorf("pane of %d ms, configured are %d ms: a new width needs a new application id and a replay", width, k.paneMS)
	}
	*p = pane{start: r.Natural(), same: r.Bool(), revision: r.Unsigned(), latencies: p.latencies, translations: p.translations}
	if p.start%k.paneMS != 0 {
		r.Fail()
	}
	p.each(func(n *uint32) { *n = r.Uint32() })
	p.latencySum, p.translationSum = r.Natural(), r.Natural()
	p.latencies = readBins(&r, p.latencies)
	p.translations = readBins(&r, p.translations)
	return r.Done()
}

// Deadline is the pane's last millisecond.
func (k paneCodec) Deadline(p *pane) int64 { return p.start + k.paneMS - 1 }

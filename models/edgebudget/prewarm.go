package edgebudget

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
)

// Warming are the numbers of a pre-warm plan (DOMAIN 9). The zero value means the defaults.
type Warming struct {
	// CoverBPS is the part of the audience whose POPs are warmed, in basis points (default 9,500).
	CoverBPS uint32
	// PerSecond is the rate of edge fetches (default 50).
	PerSecond float64
	// LeadMS before the drop warming starts at the latest (default 30 min), CanaryMS before it the check runs (default 5 min),
	// and ScaleMS before it the replicas stand at the whole forecast (default 15 min).
	LeadMS, CanaryMS, ScaleMS int64
	// CanaryHits is the hit ratio that the check must reach (default 0.99).
	CanaryHits float64
	// SpareMS is how much longer than the lead an object must live (default 1 h), JitterBPS by how much lives differ, either way (default 1,000).
	SpareMS   int64
	JitterBPS int64
}

// WithDefaults fills in the defaults.
func (w Warming) WithDefaults() Warming {
	const minute = 60_000
	return Warming{
		CoverBPS: cmp.Or(w.CoverBPS, 9_500), PerSecond: cmp.Or(w.PerSecond, 50),
		LeadMS: cmp.Or(w.LeadMS, 30*minute), CanaryMS: cmp.Or(w.CanaryMS, 5*minute), ScaleMS: cmp.Or(w.ScaleMS, 15*minute),
		CanaryHits: cmp.Or(w.CanaryHits, 0.99), SpareMS: cmp.Or(w.SpareMS, 60*minute), JitterBPS: cmp.Or(w.JitterBPS, 1_000),
	}
}

// Validate reports every problem at once.
func (w Warming) Validate() error {
	full := w.WithDefaults()
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("edgebudget: "+format, args...))
	}
	if full.CoverBPS > whole {
		bad("%d basis points of the audience are more than all of it", full.CoverBPS)
	}
	if !(full.PerSecond > 0) {
		bad("%v fetches a second", full.PerSecond)
	}
	if full.CanaryMS <= 0 || full.CanaryMS >= full.LeadMS {
		bad("a canary check %d ms before the start is not between the lead of %d ms and the start", full.CanaryMS, full.LeadMS)
	}
	if !(full.CanaryHits > 0 && full.CanaryHits <= 1) {
		bad("a hit ratio of %v", full.CanaryHits)
	}
	if full.SpareMS < 0 || full.ScaleMS < 0 {
		bad("a spare life of %d ms and a scale-up %d ms before the start must not be negative", full.SpareMS, full.ScaleMS)
	}
	if full.JitterBPS < 0 || full.JitterBPS >= whole {
		bad("a jitter of %d basis points is not in [0, %d)", full.JitterBPS, whole)
	}
	return errors.Join(problems...)
}

// WarmSet is how many there are of each; their product is warmed.
type WarmSet struct{ POPs, Languages, Variants, Objects int }

// WarmPlan is what to fetch, and when (Unix ms).
type WarmPlan struct {
	// EdgeFetches are requests to POPs. OriginFetches are what of them reaches the origin through a shield,
	// UnshieldedFetches without one: every POP misses on its own.
	EdgeFetches, OriginFetches, UnshieldedFetches int
	// DurationMS at the planned rate.
	DurationMS int64
	// StartMS is the lead before the drop, or earlier where the fetches take longer (Early says so); CanaryMS the check, ScaleMS the scale-up.
	StartMS, CanaryMS, ScaleMS int64
	Early                      bool
	// TTLMS is what objects live on average; jittered lives lie in [TTLLowMS, TTLHighMS], all beyond the drop's start by the spare time.
	TTLMS, TTLLowMS, TTLHighMS int64
}

// Plan plans the warming for a drop that starts at dropMS.
func (w Warming) Plan(set WarmSet, dropMS int64) WarmPlan {
	perPOP := set.Languages * set.Variants * set.Objects
	p := WarmPlan{
		EdgeFetches: set.POPs * perPOP, OriginFetches: perPOP, UnshieldedFetches: set.POPs * perPOP,
		CanaryMS: dropMS - w.CanaryMS, ScaleMS: dropMS - w.ScaleMS, StartMS: dropMS - w.LeadMS,
	}
	if set.POPs == 0 {
		p.OriginFetches = 0
	}
	p.DurationMS = int64(math.Ceil(float64(p.EdgeFetches) / w.PerSecond * 1000))
	if latest := p.CanaryMS - p.DurationMS; latest < p.StartMS {
		p.StartMS, p.Early = latest, true
	}
	// The shortest jittered life still has the spare time; whole seconds, since caches count in them.
	shortest := dropMS - p.StartMS + w.SpareMS
	p.TTLMS = (shortest*whole/(whole-w.JitterBPS)/1000 + 1) * 1000
	p.TTLLowMS, p.TTLHighMS = p.TTLMS-p.TTLMS*w.JitterBPS/whole, p.TTLMS+p.TTLMS*w.JitterBPS/whole
	return p
}

// TTL is one object's life: the same on every POP and every run, and spread evenly between objects, so that they do not expire together.
func (p WarmPlan) TTL(object string) int64 {
	h := fnv.New64a()
	h.Write([]byte(object))
	return p.TTLLowMS + int64(h.Sum64()%uint64(p.TTLHighMS-p.TTLLowMS+1))
}

// Probes are one POP's canary requests.
type Probes struct {
	POP        string
	Hits, Sent uint64
}

// CanaryResult is what the check says.
type CanaryResult struct {
	// Hits of Sent, and their ratio: 0 where nothing was sent.
	Hits, Sent uint64
	Ratio      float64
	// Pass says that the ratio is reached by all POPs together and that no planned POP is without an answer.
	Pass bool
	// Cold are the POPs below the ratio, Silent the planned ones without a probe, both by name.
	Cold, Silent []string
}

// Canary checks the probes of the planned POPs; those of others count as well.
func (w Warming) Canary(planned []string, probes []Probes) CanaryResult {
	var r CanaryResult
	answered := map[string]bool{}
	for _, p := range probes {
		if p.Sent == 0 {
			continue
		}
		r.Hits, r.Sent, answered[p.POP] = r.Hits+p.Hits, r.Sent+p.Sent, true
		if float64(p.Hits) < w.CanaryHits*float64(p.Sent) {
			r.Cold = append(r.Cold, p.POP)
		}
	}
	for _, pop := range planned {
		if !answered[pop] {
			r.Silent = append(r.Silent, pop)
		}
	}
	slices.Sort(r.Cold)
	slices.Sort(r.Silent)
	if r.Sent > 0 {
		r.Ratio = float64(r.Hits) / float64(r.Sent)
	}
	r.Pass = r.Sent > 0 && r.Ratio >= w.CanaryHits && len(r.Silent) == 0
	return r
}

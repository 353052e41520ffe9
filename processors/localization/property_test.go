package localization

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// history is a seeded mess: cues of two streams in three languages, reported once or several times, shown, missing or
// silent, in any order of event time.
func history(random *rand.Rand, n int) []said {
	var h []said
	for range n {
		s := said{
			drop: []string{"d", "d", "d", "e", ""}[random.IntN(5)], stream: []string{"s", "x"}[random.IntN(2)],
			cue: 1 + random.Uint64N(40), to: []string{"en", "fr", "ja"}[random.IntN(3)],
			lag: random.Int64N(9000) - 1000, missing: random.IntN(6) == 0, onScreen: random.Int64N(9000),
			chars: random.Uint32N(60), words: random.Uint32N(12), translat: random.Int64N(3) * random.Int64N(2000), probe: random.IntN(30) == 0,
		}
		if random.IntN(20) == 0 {
			s.lag = 70_000
		}
		s.at = start + int64(s.cue)*second*5 + random.Int64N(60)*second
		h = append(h, s)
	}
	return h
}

// reference judges all records at once: the definition, without the difficulty. Every language is expected of every stream.
func reference(h []said, paneMS int64) map[string]event.Localization {
	type place struct {
		drop, stream string
		cue          uint64
	}
	type id struct {
		place
		to string
	}
	first := map[place]int64{}
	best := map[id]said{}
	for _, s := range h {
		if s.drop == "" || s.probe {
			continue
		}
		p := place{s.drop, s.stream, s.cue}
		if at, known := first[p]; !known || s.at < at {
			first[p] = s.at
		}
		key := id{p, s.to}
		old, known := best[key]
		if !known || s.missing != old.missing && old.missing || s.missing == old.missing && cmp.Or(cmp.Compare(old.lag, s.lag)*boolean(!s.missing), cmp.Compare(s.at, old.at)) > 0 {
			best[key] = s
		}
	}
	sums := map[string]event.Localization{}
	for p, at := range first {
		source, known := best[id{p, "en"}]
		for _, to := range []string{"en", "fr", "ja"} {
			s, reported := best[id{p, to}]
			if !reported && (!known || source.missing) {
				continue
			}
			start := at - at%paneMS
			key := fmt.Sprintf("%s|%s|%d|3", p.drop, to, start)
			v := sums[key]
			v.DropID, v.Language, v.SameLanguage, v.Partition, v.PaneStart, v.PaneMS, v.Maturity = p.drop, to, to == "en", 3, start, paneMS, event.Final
			v.Expected++
			latency := int64(60_000)
			switch {
			case !reported:
				v.Missing++
				v.Unreported++
			case s.missing:
				v.Missing++
			default:
				cps, seconds := 20., float64(s.onScreen)/1000
				if to == "ja" {
					cps = 12
				}
				limit := int64(5000)
				if p.drop == "e" {
					limit = 3000
				}
				bad := false
				count := func(n *uint32, when bool) {
					if when {
						*n++
						bad = true
					}
				}
				latency = min(max(s.lag, 0), 60_000)
				count(&v.Slow, latency > limit)
				count(&v.Early, s.lag < -500)
				count(&v.Brief, seconds < 0.833)
				count(&v.Long, seconds > 7)
				count(&v.Dense, float64(s.chars) > cps*seconds)
				count(&v.Wordy, to != "ja" && float64(s.words)*60 > 180*seconds)
				if !bad {
					v.Good++
					if float64(s.chars) <= cps*17/20*seconds {
						v.Stretch++
					}
				}
				if s.translat > 0 {
					v.Translated++
					v.TranslationSumMS += s.translat
					v.TranslationBins = addTo(v.TranslationBins, event.CueTranslationBin{Index: binOf(s.translat), Count: 1})
				}
			}
			v.LatencySumMS += latency
			if latency == 0 {
				v.LatencyZero++
			} else {
				v.LatencyBins = addTo(v.LatencyBins, event.CueLatencyBin{Index: binOf(latency), Count: 1})
			}
			sums[key] = v
		}
	}
	return sums
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// binOf is DOMAIN 5's index, in the library's counting.
func binOf(ms int64) int64 {
	return int64(math.Floor(math.Log(float64(ms)) / math.Log(1.01/0.99)))
}

func addTo[B ~struct {
	Index int64  `json:"index"`
	Count uint32 `json:"count"`
}](list []B, b B) []B {
	type plain = struct {
		Index int64  `json:"index"`
		Count uint32 `json:"count"`
	}
	for i := range list {
		if at := plain(list[i]); at.Index == plain(b).Index {
			at.Count++
			list[i] = B(at)
			return list
		}
	}
	list = append(list, b)
	slices.SortFunc(list, func(a, b B) int { return cmp.Compare(plain(a).Index, plain(b).Index) })
	return list
}

// TestAnyOrderGivesTheDefinition applies random histories in random order, in transactions of any size with restarts, and
// compares the final partials with the reference.
func TestAnyOrderGivesTheDefinition(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := history(random, 50+random.IntN(400))
		// Records about one display that differ only in their text at the same event time are not a case: ids tell them apart.
		drops := twoDays()
		drops["e"] = &event.Drop{Name: "e", StartMS: start, EndMS: start + 24*hourMS, CueLatencyMS: 3000}
		b := newBench(t, Config{Languages: []string{"en", "fr", "ja"}}, drops)
		h = distinct(h)
		random.Shuffle(len(h), func(i, j int) { h[i], h[j] = h[j], h[i] })
		watermark := int64(-1)
		for rest := h; len(rest) > 0; {
			n := min(1+random.IntN(60), len(rest))
			b.turn(watermark, rest[:n]...)
			rest = rest[n:]
			// Deadlines pass on the way, but nothing is final before all is said.
			if random.IntN(3) == 0 {
				watermark = max(watermark, start+random.Int64N(9*minute))
			}
			if random.IntN(6) == 0 {
				b.restart()
			}
		}
		b.turn(start + 30*minute)
		got := maps.Clone(b.newest)
		for key, v := range got {
			if v.Maturity != event.Final {
				t.Fatalf("seed %d: %s is not final", seed, key)
			}
			v.Revision, v.Watermark = 0, 0
			if v.LatencyBins = orNil(v.LatencyBins); v.Expected == 0 {
				delete(got, key) // its cues moved away
				continue
			}
			v.TranslationBins = orNil(v.TranslationBins)
			got[key] = v
		}
		want := reference(h, 15_000)
		for key, w := range want {
			if !reflect.DeepEqual(got[key], w) {
				t.Fatalf("seed %d, %s:\n got %+v\nwant %+v", seed, key, got[key], w)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d panes, want %d", seed, len(got), len(want))
		}
		if left := b.rule.cues.Len() + b.rule.panes.Len(); left != 0 {
			t.Fatalf("seed %d: %d cues and panes outlive their finality", seed, left)
		}
		if b.rule.counts.refused != 0 || b.rule.counts.settled != 0 {
			t.Fatalf("seed %d: %s", seed, b.outcomes())
		}
	}
}

func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// distinct leaves one record of those that agree in what orders them.
func distinct(h []said) []said {
	seen := map[string]bool{}
	return slices.DeleteFunc(h, func(s said) bool {
		lag := s.lag
		if s.missing {
			lag = 0
		}
		key := fmt.Sprint(s.drop, s.stream, s.cue, s.to, s.missing, lag, s.at, s.probe)
		again := seen[key]
		seen[key] = true
		return again
	})
}

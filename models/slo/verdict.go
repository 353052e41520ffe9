package slo

// MinValid is how many valid events a long window needs before its burn rate means something (DOMAIN 7.3).
const MinValid = 50

// Count are the valid events of a window, and the bad ones among them.
type Count struct{ Valid, Bad uint64 }

// Add is the count of both.
func (c Count) Add(o Count) Count { return Count{c.Valid + o.Valid, c.Bad + o.Bad} }

// Reading is what a window shows.
type Reading struct{ Long, Short Count }

// Verdict is what a set of windows says.
type Verdict struct {
	// Fired is the index of the window that fired, the most severe and fastest one; −1 when none did.
	Fired int
	// Judged are the windows with enough events. When there is none the verdict says nothing.
	Judged int
	// Long and Short are the burn rates of the window that fired, else of the fastest one that was judged.
	Long, Short float64
}

// Judge holds each window's reading against its factor. readings[i] is of windows[i]; minValid is MinValid or another
// lower bound of valid events in the long window.
func Judge(windows []Window, readings []Reading, target float64, minValid uint64) Verdict {
	v := Verdict{Fired: -1}
	for i, w := range windows {
		r := readings[i]
		if r.Long.Valid < max(minValid, 1) {
			continue
		}
		long, _ := Burn(r.Long.Bad, r.Long.Valid, target)
		short, recent := Burn(r.Short.Bad, r.Short.Valid, target)
		if v.Judged++; v.Judged == 1 {
			v.Long, v.Short = long, short
		}
		if !recent || long <= w.Factor || short <= w.Factor {
			continue
		}
		if v.Fired < 0 || w.Severity > windows[v.Fired].Severity {
			v.Fired, v.Long, v.Short = i, long, short
		}
	}
	return v
}

// Pool adds up, window by window, the readings of those members that are too small to be judged alone. It
// is what their languages are judged by together.
func Pool(windows []Window, members [][]Reading, minValid uint64) []Reading {
	pool := make([]Reading, len(windows))
	for i := range windows {
		for _, m := range members {
			if m[i].Long.Valid < max(minValid, 1) {
				pool[i].Long = pool[i].Long.Add(m[i].Long)
				pool[i].Short = pool[i].Short.Add(m[i].Short)
			}
		}
	}
	return pool
}

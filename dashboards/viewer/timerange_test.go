package viewer

import (
	"net/url"
	"testing"
	"time"
)

func TestRanges(t *testing.T) {
	drop := dropTimes{dropMS, dropEnd, dataUpTo, dropMS + 60_000, dropMS + 3_600_000}
	const second, minute, hour = 1000, 60_000, 3_600_000
	now := nowMS + 2_300
	for _, tt := range []struct {
		from, to string
		points   int
		want     timeRange
	}{
		{"now-6h", "now", 600, timeRange{nowMS - 6*hour, nowMS + 5*second, 60}},
		{"start-30m", "data", 600, timeRange{dropMS - 30*minute, dataUpTo, 10}},
		{"first-cue-5m", "last-cue+5m", 600, timeRange{dropMS - 4*minute, dropMS + hour + 5*minute, 10}},
		{"start", "end", 600, timeRange{dropMS, dropEnd, 300}},
		{"start", "end", 1, timeRange{dropMS, dropEnd, 2 * 86_400}},
		{"data-1h30m", "data", 600, timeRange{dataUpTo - 90*minute, dataUpTo, 10}},
		{"end-1d+30s", "end+1w", 600, timeRange{dropEnd - 24*hour + 30*second, dropEnd + 7*24*hour, 20 * 60}},
		{"1772452800001", "1772452800501", 600, timeRange{dropMS + 1, dropMS + 501, 1}}, // absolute times are as they are
		{"2026-03-02T12:00:00Z", "2026-03-02T14:00:00+01:00", 60, timeRange{dropMS, dropMS + hour, 60}},
	} {
		from, ok := parseInstant(tt.from)
		to, ok2 := parseInstant(tt.to)
		if !ok || !ok2 {
			t.Errorf("%s to %s is no range", tt.from, tt.to)
			continue
		}
		if got, bad := resolve(from, to, now, drop, 5*time.Second, tt.points); bad != nil || got != tt.want {
			t.Errorf("%s to %s: %+v, %v, want %+v", tt.from, tt.to, got, bad, tt.want)
		}
	}
	// Before there is data, it has come as far as the start.
	coming := dropTimes{dropMS, dropEnd, 0, 0, 0}
	if got, bad := resolve(instant{atStart, 0}, instant{atData, 0}, now, coming, 5*time.Second, 600); bad != nil || got.From != dropMS || got.To != dropMS+5000 {
		t.Errorf("%+v, %v", got, bad)
	}
	if got, bad := resolve(instant{atFirst, 0}, instant{atLast, 0}, now, dropTimes{dropMS, dropEnd, dataUpTo, 0, 0}, 5*time.Second, 600); bad != nil || got.From != dropMS || got.To != dataUpTo {
		t.Errorf("without cues: %+v, %v", got, bad)
	}
	for _, bad := range []string{"", "Now", "first-cued", "last-cue5m", "now-", "now-6", "now6h", "now-6y", "now--6h", "now-6h ", " now", "end-99999w", "now-9999999999w", "started", "data/d", "1e12", "12345",
		"99999999999999999999", "2026-03-02", "2026-03-02T12:00:00", "-1772452800000", "1999-12-31T23:59:59Z", "now-6h;DROP TABLE x"} {
		if at, ok := parseInstant(bad); ok {
			t.Errorf("%q is %+v", bad, at)
		}
	}
	for s, want := range map[int64]int64{1: 1, 3: 5, 60: 60, 61: 120, 43_201: 86_400, 86_401: 2 * 86_400} {
		if got := niceStep(s); got != want {
			t.Errorf("a step of %d s became %d, want %d", s, got, want)
		}
	}
}

// Viewers that ask within the same round ask the same.
func TestRounding(t *testing.T) {
	from, _ := parseInstant("now-1h")
	to, _ := parseInstant("now")
	ranges := map[timeRange]bool{}
	for ms := range int64(5000) {
		r, bad := resolve(from, to, nowMS+1+ms, dropTimes{}, 5*time.Second, 600)
		if bad != nil {
			t.Fatal(bad)
		}
		ranges[r] = true
	}
	if len(ranges) > 2 {
		t.Errorf("%d ranges within 5 s", len(ranges))
	}
}

func FuzzInstant(f *testing.F) {
	for _, s := range []string{"now-6h", "start-30m+5s", "1772452800000", "2026-03-02T12:00:00Z", "data", "end+9w"} {
		f.Add(s, int64(600))
	}
	f.Fuzz(func(t *testing.T, s string, points int64) {
		at, ok := parseInstant(s)
		if !ok {
			return
		}
		end := instant{atNow, 0}
		r, bad := resolve(at, end, nowMS, dropTimes{dropMS, dropEnd, dataUpTo, 0, 0}, 5*time.Second, int(min(max(points, 1), maxPoints)))
		if bad != nil {
			return
		}
		if r.From >= r.To || r.From < earliest || r.To > latest || r.Step < 1 || (r.To-r.From)/1000/r.Step > max(points, 1) {
			t.Errorf("%q: %+v with %d points", s, r, points)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"from=now-1h&to=now&var-drop=d&var-pop=a&var-pop=b&points=7", "var-drop=%27+OR+1&format=csv&ref=A", "q=x&limit=3", "var-drop=%ff", "%zz", "var-=x&var-pop"} {
		f.Add(s)
	}
	b := newFixture(f).boards[liveUID]
	f.Fuzz(func(t *testing.T, s string) {
		query, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		q, bad := b.decode(query)
		if bad != nil {
			if bad.Class != BadRequest || bad.Message == "" {
				t.Errorf("%q: %+v", s, bad)
			}
			return
		}
		if q.points < 1 || q.points > maxPoints || q.limit < 1 || q.limit > maxOptions {
			t.Errorf("%q: %+v", s, q)
		}
		for name, values := range q.values {
			if b.variables[name].Title == "" || len(values) > maxValues {
				t.Errorf("%q: variable %q with %d values", s, name, len(values))
			}
		}
	})
}

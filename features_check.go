package main

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/sinks/clickhouse"
	"github.com/droplift/droplift/sinks/features/offline"
)

// FeaturesCheckCmd looks for leaks.
type FeaturesCheckCmd struct {
	Training string `arg:"" name:"file" optional:"" help:"Training set to check, ending in .parquet or .arrow, whoever made it: player_id, event_timestamp (t0), features by their names, and if it has them created_timestamp and as_of. Without one, the set that the flags describe is checked as it stands in ClickHouse." placeholder:"FILE"`
	Sample   int    `help:"Rows that are recomputed from raw events beside those of which something arrived after t0; 0 is all." default:"2000"`
	Show     int    `help:"Findings to print." default:"20"`
	JSON     bool   `name:"json" help:"Print every finding as JSON."`
	trainingFlags
}

// Help is shown by --help.
func (c *FeaturesCheckCmd) Help() string {
	return "A row leaks when it holds what nobody could know at its scoring time t0:\n\n" +
		"  future       features as of a time after t0, or that only events after t0 explain\n" +
		"  undelivered  a revision that was made after t0\n" +
		"  late         features that only events explain which were ingested after t0: a session's end, a back-dated refund\n\n" +
		"The first and second are read off the row. For the third its features are recomputed from the raw events in their order of arrival, by the code " +
		"that computed them, and the row must equal a state that was reached by t0. A row that equals none is unexplained, which is no proof of a leak: " +
		"raw events are kept 90 days, and a file may hold features of its own.\n\n" +
		"The exit code is 0 without leaks, 1 with some, 2 when it could not be checked.\n\n" +
		"Examples:\n\n  droplift features check april.parquet\n  droplift features check --at 2026-04-01 --knowable event"
}

// errLeaks ends a check that found some: exit code 1, everything has been said.
var errLeaks = errors.New("the training set leaks")

// Run prints the findings.
func (c *FeaturesCheckCmd) Run(ctx context.Context, cfg *Config) error {
	return checked(c.run(ctx, cfg), errLeaks)
}

func (c *FeaturesCheckCmd) run(ctx context.Context, cfg *Config) error {
	report, err := c.check(ctx, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		err = writeJSON(os.Stdout, report)
	} else {
		report.print(c.Show)
	}
	if err == nil && report.Leaks > 0 {
		return errLeaks
	}
	return err
}

func (c *FeaturesCheckCmd) check(ctx context.Context, cfg *Config) (*leakReport, error) {
	var request clickhouse.TrainingRequest
	if c.Training == "" {
		var err error
		if request, err = c.request(cfg); err != nil {
			return nil, err
		}
	} else if _, err := offline.FormatOf(c.Training); err != nil {
		return nil, err
	} else if len(c.At) > 0 || !c.From.IsZero() {
		return nil, errors.New("give a file or scoring times, not both")
	}
	client, err := cfg.openFeatures(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	check := newLeakCheck(client, feature.Player, c.Sample)
	if c.Training != "" {
		err = offline.Read(ctx, c.Training, feature.Player, check.begin, func(k *offline.Known) error {
			return check.add(ctx, &leakRow{player: k.Player, at: k.At, created: k.Created, asOf: k.AsOf, values: k.Values})
		})
	} else {
		var vector []float64
		check.begin(offline.Content{Has: slices.Repeat([]bool{true}, len(feature.Player.Features)), Knowable: string(request.Knowable)})
		err = client.TrainingSet(ctx, request, func(r *clickhouse.TrainingRow) error {
			vector = r.Features.Vector(r.At, vector[:0])
			return check.add(ctx, &leakRow{player: r.Player, at: r.At, created: r.CreatedAt, asOf: r.Features.AsOf, values: vector})
		})
	}
	if err != nil {
		return nil, err
	}
	progress := newBar("leak check", 1000)
	defer progress.finish()
	return check.finish(ctx, func(done, total int) { progress.set("leak check", int64(1000*done/max(1, total))) })
}

// leakRow is a row of a training set, as far as leaks go.
type leakRow struct {
	player            string
	at, created, asOf int64
	values            []float64
	rank              uint64
}

// leak is one finding.
type leak struct {
	Player   string   `json:"player_id"`
	At       string   `json:"at"`
	Kind     string   `json:"kind"`
	Features []string `json:"features,omitempty"`
	// Events are those that the row could not know of; the newest ones of many.
	Events []leakEvent `json:"events,omitempty"`
	Detail string      `json:"detail"`
}

// leakEvent is an event that a row should not know of.
type leakEvent struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	EventTime  string `json:"event_time"`
	IngestTime string `json:"ingest_time"`
}

// Kinds of findings.
const (
	leakFuture      = "future"
	leakUndelivered = "undelivered"
	leakLate        = "late"
	leakUnexplained = "unexplained"
)

// leakReport is what a check found.
type leakReport struct {
	// Rows of the set; Recomputed of them from raw events; Late had something arrive after t0.
	Rows       int    `json:"rows"`
	Recomputed int    `json:"recomputed"`
	Late       int    `json:"late"`
	Knowable   string `json:"knowable"`
	Leaks      int    `json:"leaks"`
	// Unexplained rows equal no state that the raw events make.
	Unexplained int    `json:"unexplained"`
	Findings    []leak `json:"findings"`
}

// leakCheck takes rows, then recomputes those that it kept.
type leakCheck struct {
	client *clickhouse.Client
	set    *feature.Set
	sample int
	has    []bool
	// late are, by scoring time, the players of whom something arrived afterwards.
	late   map[int64]map[string]bool
	kept   []*leakRow
	drawn  rowHeap
	report leakReport
}

func newLeakCheck(client *clickhouse.Client, set *feature.Set, sample int) *leakCheck {
	return &leakCheck{client: client, set: set, sample: sample, late: map[int64]map[string]bool{}}
}

func (c *leakCheck) begin(content offline.Content) error {
	c.has, c.report.Knowable = content.Has, cmp.Or(content.Knowable, "not said")
	if !slices.Contains(c.has, true) {
		return fmt.Errorf("no column has the name of a feature of set %s: there is nothing to check", c.set.Name)
	}
	return nil
}

// lateWithin is how far before t0 an event may have happened that arrives after it: what is further off its ingest time is
// quarantined.
const lateWithin = 7 * 24 * time.Hour

// add judges a row by what it says of itself, and keeps it for recomputation if its player is late, or drawn.
func (c *leakCheck) add(ctx context.Context, r *leakRow) error {
	c.report.Rows++
	switch {
	case r.at <= 0:
		return fmt.Errorf("row %d, player %s, has no scoring time", c.report.Rows, r.player)
	case r.asOf > r.at:
		c.find(r, leakFuture, fmt.Sprintf("as_of %s is after t0", millis(r.asOf)))
		return nil
	case r.created > r.at:
		c.find(r, leakUndelivered, fmt.Sprintf("created_timestamp %s is after t0", millis(r.created)))
		return nil
	}
	late, ok := c.late[r.at]
	if !ok {
		late = map[string]bool{}
		err := c.client.LateKnown(ctx, r.at, lateWithin.Milliseconds(), func(player string, _ uint64) error {
			late[player] = true
			return nil
		})
		if err != nil {
			return err
		}
		c.late[r.at] = late
	}
	keep := func() *leakRow {
		kept := *r
		kept.values = slices.Clone(r.values)
		return &kept
	}
	switch {
	case late[r.player]:
		c.report.Late++
		c.kept = append(c.kept, keep())
	case c.sample == 0:
		c.kept = append(c.kept, keep())
	default:
		// The rows with the smallest hashes are a sample that every run draws again.
		r.rank = xxhash.Sum64String(fmt.Sprint(r.at, " ", r.player))
		if len(c.drawn) < c.sample {
			heap.Push(&c.drawn, keep())
		} else if r.rank < c.drawn[0].rank {
			c.drawn[0] = keep()
			heap.Fix(&c.drawn, 0)
		}
	}
	return nil
}

func (c *leakCheck) find(r *leakRow, kind, detail string) *leak {
	if kind == leakUnexplained {
		c.report.Unexplained++
	} else {
		c.report.Leaks++
	}
	c.report.Findings = append(c.report.Findings, leak{Player: r.player, At: millis(r.at), Kind: kind, Detail: detail})
	return &c.report.Findings[len(c.report.Findings)-1]
}

// playersAtOnce bounds the players whose events are asked for, and held, at a time.
const playersAtOnce = 500

// finish recomputes what was kept.
func (c *leakCheck) finish(ctx context.Context, progress func(done, total int)) (*leakReport, error) {
	if c.report.Rows == 0 {
		return nil, errors.New("no rows: there is nothing to check")
	}
	rows := append(c.kept, c.drawn...)
	slices.SortFunc(rows, func(a, b *leakRow) int { return cmp.Or(strings.Compare(a.player, b.player), cmp.Compare(a.at, b.at)) })
	byPlayer := map[string][]*leakRow{}
	var players []string
	for _, r := range rows {
		if len(byPlayer[r.player]) == 0 {
			players = append(players, r.player)
		}
		byPlayer[r.player] = append(byPlayer[r.player], r)
	}
	done := 0
	for some := range slices.Chunk(players, playersAtOnce) {
		events := map[string][]event.Event{}
		err := c.client.FeatureEvents(ctx, some, farFuture, func(ev *event.Event) error {
			events[ev.PlayerID] = append(events[ev.PlayerID], *ev)
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, player := range some {
			for _, r := range byPlayer[player] {
				c.recompute(r, events[player])
			}
			done++
			progress(done, len(players))
		}
	}
	slices.SortStableFunc(c.report.Findings, func(a, b leak) int {
		return cmp.Or(strings.Compare(a.At, b.At), strings.Compare(a.Player, b.Player))
	})
	return &c.report, nil
}

// farFuture is as late as a stored event can be (Unix ms).
const farFuture int64 = 9_214_646_400_000

// recompute says whether a row equals a state that was reached by its scoring time, and by which events otherwise.
func (c *leakCheck) recompute(r *leakRow, events []event.Event) {
	c.report.Recomputed++
	var before []event.Event // what happened before t0, in order of arrival: what arrived by t0 comes first
	for _, ev := range events {
		if ev.EventTime < r.at {
			before = append(before, ev)
		}
	}
	nearest := []string(nil)
	// states runs through the states and returns after how many events one equals the row, −1 if none does.
	states := func(events []event.Event) int {
		equal := -1
		featureStates(events, func(n int, f *event.Features) bool {
			differ := c.differ(r, f, events)
			if nearest == nil || len(differ) <= len(nearest) {
				nearest = differ
			}
			if len(differ) == 0 {
				equal = n
			}
			return equal < 0
		})
		return equal
	}
	unknown := func(of []event.Event) (out []leakEvent) {
		for i := len(of) - 1; i >= 0 && len(out) < 5; i-- {
			if ev := &of[i]; ev.EventTime >= r.at || ev.IngestTime > r.at {
				out = append(out, leakEvent{ID: ev.ID.String(), Type: ev.Type.String(), EventTime: millis(ev.EventTime), IngestTime: millis(ev.IngestTime)})
			}
		}
		return out
	}
	if n := states(before); n >= 0 {
		if culprits := unknown(before[:n]); len(culprits) > 0 {
			found := c.find(r, leakLate, fmt.Sprintf("explained only with %s of %s, which arrived at %s", culprits[0].Type, culprits[0].EventTime, culprits[0].IngestTime))
			found.Events, found.Features = culprits, c.changed(r, before[:n])
		}
		return
	}
	if n := states(events); n >= 0 {
		if culprits := unknown(events[:n]); len(culprits) > 0 {
			found := c.find(r, leakFuture, fmt.Sprintf("explained only with %s of %s, after t0", culprits[0].Type, culprits[0].EventTime))
			found.Events, found.Features = culprits, c.changed(r, events[:n])
			return
		}
	}
	c.find(r, leakUnexplained, "no state of the raw events equals it").Features = nearest
}

// changed names the features by which a row differs from what was known of these events at its scoring time.
func (c *leakCheck) changed(r *leakRow, events []event.Event) (names []string) {
	var known []event.Event
	for _, ev := range events {
		if ev.EventTime < r.at && ev.IngestTime <= r.at {
			known = append(known, ev)
		}
	}
	featureStates(known, func(_ int, f *event.Features) bool {
		names = c.differ(r, f, known)
		return true
	})
	return names
}

// differ names the features in which a row is not f. Where the player's first events are gone, only windows can be compared.
func (c *leakCheck) differ(r *leakRow, f *event.Features, events []event.Event) (names []string) {
	vector := f.Vector(r.at, nil)
	first := slices.MinFunc(events, func(a, b event.Event) int { return cmp.Compare(a.EventTime, b.EventTime) }).EventTime
	tenure := c.set.Index("tenure_s")
	cut := tenure >= 0 && c.has[tenure] && float64(r.at)-1000*r.values[tenure] < float64(first)
	for i, v := range r.values {
		if !c.has[i] || cut && !windowed(c.set.Features[i].Name) {
			continue
		}
		if w := vector[i]; v != w && !(v != v && w != w) && !(max(v-w, w-v) <= 1e-9*max(v, -v)) {
			names = append(names, c.set.Features[i].Name)
		}
	}
	return names
}

func windowed(name string) bool {
	return strings.HasSuffix(name, "_1h") || strings.HasSuffix(name, "_24h") || strings.HasSuffix(name, "_7d") || strings.HasSuffix(name, "_28d")
}

func millis(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// rowHeap has the row with the greatest rank on top.
type rowHeap []*leakRow

func (h rowHeap) Len() int           { return len(h) }
func (h rowHeap) Less(i, j int) bool { return h[i].rank > h[j].rank }
func (h rowHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *rowHeap) Push(x any)        { *h = append(*h, x.(*leakRow)) }
func (h *rowHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// print prints the report for people.
func (r *leakReport) print(show int) {
	if len(r.Findings) > 0 {
		t := newTable("player", "t0", "kind", "why", "features")
		for _, f := range r.Findings[:min(show, len(r.Findings))] {
			features := strings.Join(f.Features[:min(4, len(f.Features))], ", ")
			if more := len(f.Features) - 4; more > 0 {
				features += fmt.Sprintf(" and %d more", more)
			}
			t.AppendRow(table.Row{f.Player, f.At, f.Kind, f.Detail, features})
		}
		fmt.Println(t.Render())
		if more := len(r.Findings) - show; more > 0 {
			fmt.Printf("… and %d more: --json lists all.\n", more)
		}
	}
	fmt.Printf("%d rows, known by: %s. %d recomputed from raw events, %d of them because something arrived after t0.\n", r.Rows, r.Knowable, r.Recomputed, r.Late)
	fmt.Printf("%d leak, %d equal no state of the raw events.\n", r.Leaks, r.Unexplained)
}

package simulate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/droplift/droplift/ingest/event"
)

// medium is a scenario with every fault and enough players for several shards.
func medium(seed uint64) Scenario {
	s := Tiny(seed)
	s.Players = 1600
	s.Earlier = nil
	s.HistoryMS = 10 * day
	return s
}

func digest(t testing.TB, s Scenario) string {
	h := sha256.New()
	drain(t, generate(t, s), func(r *Record) {
		var head [32]byte
		head[0], head[1] = byte(r.Kind), byte(r.Phase)
		binary.LittleEndian.PutUint64(head[8:], uint64(r.At))
		binary.LittleEndian.PutUint64(head[16:], uint64(len(r.Key)))
		binary.LittleEndian.PutUint64(head[24:], uint64(len(r.Value)))
		h.Write(head[:])
		h.Write(r.Key)
		h.Write(r.Value)
	})
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestSameSeedSameBytes(t *testing.T) {
	for _, s := range []Scenario{Tiny(7), medium(7)} {
		want := digest(t, s)
		for _, procs := range []int{1, 2, 7} {
			before := runtime.GOMAXPROCS(procs)
			got := digest(t, s)
			runtime.GOMAXPROCS(before)
			if got != want {
				t.Errorf("%d players on %d processors: other bytes", s.Players, procs)
			}
		}
		s.Seed++
		if digest(t, s) == want {
			t.Errorf("%d players: seeds 7 and 8 give the same bytes", s.Players)
		}
	}
}

func TestBooksEqualRecount(t *testing.T) {
	off := medium(3)
	off.Faults = Faults{}
	off.Effects = Effects{}
	off.Behaviour.ProbeMS = 0
	after := Tiny(4)
	after.AfterMS = 3 * day
	tills := medium(6)
	tills.Behaviour.PointOfSale, tills.Faults.BlindTill = 0.5, 1
	cases := map[string]Scenario{"blind tills": tills, "tiny": Tiny(1), "tiny other seed": Tiny(2), "medium": medium(3), "no fault": off, "with an aftermath": after}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			t.Logf("seed %d", s.Seed)
			judges := []*judge{newJudge(1), newJudge(4), newJudge(7)}
			g := generate(t, s)
			drain(t, g, func(r *Record) {
				for _, j := range judges {
					j.record(r)
				}
			})
			kept := visible(g.Books())
			for _, j := range judges {
				recount := j.finish()
				for topic, want := range kept.Topics {
					if got := recount.Topics[topic]; !reflect.DeepEqual(got, want) && want.Records > 0 {
						t.Errorf("%d partitions, topic %s:\nrecounted %+v\nbooked    %+v", j.partitions, topic, got, want)
					}
				}
				for drop, want := range kept.Drops {
					if got := recount.Drops[drop]; !reflect.DeepEqual(got, want) {
						t.Errorf("%d partitions, drop %q:\nrecounted %+v\nbooked    %+v", j.partitions, drop, got, want)
					}
				}
				if len(recount.Drops) != len(kept.Drops) {
					t.Errorf("%d drops recounted, %d booked", len(recount.Drops), len(kept.Drops))
				}
				if !reflect.DeepEqual(recount.Valid, kept.Valid) || !reflect.DeepEqual(recount.Accepted, kept.Accepted) {
					t.Errorf("%d partitions, acquisition:\nrecounted %+v %+v\nbooked    %+v %+v", j.partitions, recount.Valid, recount.Accepted, kept.Valid, kept.Accepted)
				}
			}
		})
	}
}

// Every kind of fault must occur in the small scenario, or tests that use it prove little.
func TestTinyHoldsEveryFault(t *testing.T) {
	for seed := range uint64(5) {
		g := generate(t, Tiny(seed))
		records := 0
		drain(t, g, func(*Record) { records++ })
		if records < 15_000 || records > 28_000 {
			t.Errorf("seed %d: %d records", seed, records)
		}
		b := g.Books()
		reasons := map[string]bool{}
		for topic, c := range b.Topics {
			for reason := range c.DeadLetters {
				reasons[reason] = true
			}
			if topic != "drop" && (c.Duplicates == 0 || c.Late == 0) {
				t.Errorf("seed %d, topic %s: %d duplicates, %d late", seed, topic, c.Duplicates, c.Late)
			}
		}
		for _, class := range append(refusedByPlayers, refusedCues...) {
			if !reasons[class.reason.String()] {
				t.Errorf("seed %d: no record refused as %s", seed, class.reason)
			}
		}
		if p := b.Topics["player"]; p.Skewed == 0 || p.Unstamped == 0 || p.Delayed == 0 {
			t.Errorf("seed %d: %d skewed, %d unstamped, %d delayed", seed, p.Skewed, p.Unstamped, p.Delayed)
		}
		main := b.Drops["drop-002"].Valid
		if main.Refunded == 0 || main.Failed == 0 || main.FunnelGap == 0 || main.Cues["ja"].Missing == 0 || len(main.Money) < 3 {
			t.Errorf("seed %d: main drop %+v", seed, main)
		}
	}
}

func TestRefusedRecords(t *testing.T) {
	g := generate(t, Tiny(1))
	sh := g.shards[0]
	sh.now = defaultStart
	var d event.Decoder
	var ev event.Event
	for _, class := range append(refusedByPlayers, refusedCues...) {
		sp := spoiler{sh: sh, sub: subject{key: "p1"}, kind: class.kind, id: sh.id(sh.now), eventTime: sh.now, ingestTime: sh.now + 100}
		class.spoil(&sp)
		want := class.reason
		if class.decodes {
			want = event.ReasonNone
		}
		got := event.ReasonNone
		if err := d.Decode(class.kind, sp.value, &ev); err != nil {
			got = err.Reason
		}
		if got != want {
			t.Errorf("%s, %s: decoded as %s: %s", class.kind, class.reason, got, sp.value)
		}
	}
}

func TestRatesFollowScenario(t *testing.T) {
	s := Crowd(11)
	s.Players, s.HistoryMS, s.Earlier = 3000, 5*day, nil
	f := s.Faults
	g := generate(t, s)
	drain(t, g, func(*Record) {})
	b := g.Books()
	p := b.Topics["player"]
	n := float64(p.Valid)
	malformed := 0.0
	events := 0.0
	for topic, c := range b.Topics {
		if topic == "drop" {
			continue
		}
		events += float64(c.Valid)
		for _, x := range c.DeadLetters {
			malformed += float64(x)
		}
	}
	for _, c := range []struct {
		name      string
		got, want float64
		tolerance float64 // relative
	}{
		{"duplicate", float64(p.Duplicates) / n, f.Duplicate * (1 - f.LateWithin), 0.1},
		{"late beyond", float64(p.Late) / n, f.LateBeyond, 0.1},
		{"late within", float64(p.Delayed) / n, f.LateWithin, 0.1},
		{"no ingest time", float64(p.Unstamped) / n, f.NoIngestTime, 0.1},
		{"malformed", malformed / events, f.Malformed, 0.15},
		// Few players share all skewed events.
		{"wrong clock", float64(p.Skewed) / n, f.WrongClock, 0.6},
	} {
		t.Logf("%-15s %.5f, parameter %.5f", c.name, c.got, c.want)
		if math.Abs(c.got-c.want) > c.tolerance*c.want {
			t.Errorf("%s: rate %.5f is not near %.5f", c.name, c.got, c.want)
		}
	}
}

func TestLimitedItemsNeverOversell(t *testing.T) {
	s := medium(5)
	g := generate(t, s)
	sold := map[string]uint64{}
	var d event.Decoder
	var ev event.Event
	ids := map[string]bool{}
	soldOut := 0
	main := &g.w.drops[g.w.main()]
	drain(t, g, func(r *Record) {
		if r.Kind != event.KindCheckout || d.Decode(r.Kind, r.Value, &ev) != nil || ev.DropID != main.id || ids[ev.ID.String()] {
			return
		}
		ids[ev.ID.String()] = true
		switch {
		case ev.Type == event.CheckoutCompleted:
			sold[strings.Clone(ev.Checkout.SKU)] += uint64(ev.Checkout.Quantity)
		case ev.Type == event.CheckoutFailed && ev.Checkout.Reason == "sold_out":
			soldOut++
		}
	})
	full := 0
	for _, item := range main.entry.Items {
		if item.Inventory > 0 && sold[item.SKU] > item.Inventory {
			t.Errorf("%s: %d sold of %d", item.SKU, sold[item.SKU], item.Inventory)
		}
		if item.Inventory > 0 && sold[item.SKU] == item.Inventory {
			full++
		}
	}
	if full == 0 || soldOut == 0 {
		t.Errorf("%d items sold out, %d checkouts failed for it: nothing tests the limit", full, soldOut)
	}
}

// Tills that sell without asking oversell, and the books know by how much; promises are kept and broken at about the
// scenario's rates; players are on their devices.
func TestTillsAndPromises(t *testing.T) {
	s := medium(5)
	s.Players = 4000
	s.Behaviour.PointOfSale, s.Faults.BlindTill = 0.3, 1
	g := generate(t, s)
	devices := map[string]map[string]bool{}
	var d event.Decoder
	var ev event.Event
	drain(t, g, func(r *Record) {
		if d.Decode(r.Kind, r.Value, &ev) != nil {
			return
		}
		if ev.Device != "" {
			if devices[ev.PlayerID] == nil {
				devices[strings.Clone(ev.PlayerID)] = map[string]bool{}
			}
			devices[ev.PlayerID][strings.Clone(ev.Device)] = true
		}
		if c := &ev.Checkout; ev.Type == event.CheckoutCompleted && (c.Tax < 0 || c.Tax+c.Fee >= c.Amount && c.Amount > 10) {
			t.Errorf("amount %d holds tax %d and fee %d", c.Amount, c.Tax, c.Fee)
		}
	})
	classes := map[string]int{}
	for player, of := range devices {
		if len(of) != 1 {
			t.Fatalf("player %s is on %d devices", player, len(of))
		}
		for device := range of {
			classes[device]++
		}
	}
	if len(classes) != 5 || classes["phone"] < classes["tv"] {
		t.Errorf("devices: %v", classes)
	}
	main := g.Books().Drops[g.MainDrop()].Valid
	t.Logf("seed %d: sold %v, oversold %v, channels %v, partners %+v", s.Seed, main.Sold, main.Oversold, main.Channels, main.Partners)
	if len(main.Oversold) == 0 {
		t.Error("nothing is oversold")
	}
	all := main.Channels["web"] + main.Channels["app"] + main.Channels["pos"]
	if share := float64(main.Channels["pos"]) / float64(all); all != main.Completed || math.Abs(share-0.3) > 0.06 {
		t.Errorf("%d checkouts by channel of %d, %.3f of them at tills", all, main.Completed, share)
	}
	for _, p := range g.Scenario().Partners {
		f := main.Partners[p.Name]
		rate := s.Behaviour.LateFulfilment * p.Late
		judged := float64(f.Kept + f.Late)
		if got := float64(f.Late) / judged; f.Late == 0 || f.Cancelled == 0 || f.Open == 0 || math.Abs(got-rate) > 4*math.Sqrt(rate*(1-rate)/judged)+0.01 {
			t.Errorf("%s: %+v, late %.4f where %.4f is meant", p.Name, f, got, rate)
		}
		if f.Promised != f.Kept+f.Late+f.Cancelled+f.Open {
			t.Errorf("%s: %+v do not sum", p.Name, f)
		}
	}
	entry := g.w.drops[g.w.main()].entry
	last := event.ForecastPoint{}
	for _, point := range entry.Forecast {
		if point.AgeMS <= last.AgeMS || point.BPS <= last.BPS {
			t.Errorf("forecast %v does not rise", entry.Forecast)
		}
		last = point
	}
	if last.AgeMS != s.DropMS || last.BPS != 10_000 || entry.AnnouncedMS != s.StartMS-3*day || entry.Followers == 0 || entry.CueCost == 0 {
		t.Errorf("catalogue entry %+v", entry)
	}
}

func TestAssignVectors(t *testing.T) {
	for _, c := range []struct {
		experiment, unit string
		want             uint32
	}{
		{"cta-fr-2025w40", "player-1", 5911},
		{"cta-fr-2025w40", "player-2", 2649},
		{"cta-de-2025w40", "player-1", 9},
	} {
		if got := bucket("v1", c.experiment, c.unit); got != c.want {
			t.Errorf("bucket(v1, %s, %s) = %d, want %d", c.experiment, c.unit, got, c.want)
		}
	}
	e := event.Experiment{ID: "cta-fr-2025w40", Salt: "v1", TrafficBPS: 10_000, Variants: []event.Variant{{Name: control, BPS: 5000}, {Name: treatment, BPS: 5000}}}
	below := 0
	for i := range 100_000 {
		if assign(&e, fmt.Sprintf("player-%d", i)) == control {
			below++
		}
	}
	if below != 50_126 {
		t.Errorf("%d of 100,000 in control, want 50,126", below)
	}
	e.TrafficBPS = 0
	if v := assign(&e, "player-1"); v != "" {
		t.Errorf("without traffic, player-1 is in %q", v)
	}
}

func TestValidateReportsEverything(t *testing.T) {
	if err := (Scenario{}).Validate(); err != nil {
		t.Errorf("the zero scenario: %v", err)
	}
	s := Tiny(1)
	s.Players = -1
	s.POPs = []POP{{Name: "iad", Region: "XX", MedianMS: 1}}
	s.Earlier = []EarlierDrop{{Creator: 99, BeforeMS: hour, DropMS: 2 * hour}}
	s.Degradations = []Degradation{{POP: "gone", FromMS: 2, ToMS: 1}}
	s.Outages, s.SubtitleOutages = []Outage{{FromMS: 1, ToMS: 1, Share: 2}}, []SubtitleOutage{{Language: "xx", FromMS: 1}}
	s.Effects = Effects{CreatorUplift: -2, CTA: map[string]float64{"xx": 1}}
	s.Faults.Duplicate = math.NaN()
	s.Behaviour.Click = 2
	s.Behaviour.PromiseMS = 1
	s.Faults.BlindTill = -1
	s.Partners = []Partner{{Name: "x", Weight: -1, Late: 99}}
	s.Regions[0].TaxBPS = -1
	err := s.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{"players", "pops[0].region", "serve no region US", "earlier[0].creator", "earlier[0].drop_ms", "degradations[0].pop",
		"degradations[0] from_ms", "degradations[0].factor", "outages[0] from_ms", "outages[0].share", "subtitle_outages[0].language", "subtitle_outages[0] from_ms", "effects.creator_uplift_rel", "effects.cta_logit", "faults.duplicate", "behaviour.click",
		"behaviour.promise_ms", "faults.blind_till", "partners[0].weight", "partners[0].late", "regions[0].tax_bps"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("no word of %s in: %v", field, err)
		}
	}
	if _, err := New(s); err == nil {
		t.Error("New takes what Validate refuses")
	}
}

func TestScenarioFiles(t *testing.T) {
	want := Crowd(5)
	for name, codec := range map[string]struct {
		marshal   func(any) ([]byte, error)
		unmarshal func([]byte, any) error
	}{
		"json": {json.Marshal, json.Unmarshal},
		"yaml": {yaml.Marshal, func(b []byte, v any) error { return yaml.UnmarshalWithOptions(b, v, yaml.Strict()) }},
	} {
		data, err := codec.marshal(want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got Scenario
		if err := codec.unmarshal(data, &got); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, data)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: came back as %+v, was %+v", name, got, want)
		}
	}
}

func TestTruthFile(t *testing.T) {
	g := generate(t, Tiny(6))
	drain(t, g, func(*Record) {})
	var out bytes.Buffer
	if err := WriteTruth(&out, g.Truth()); err != nil {
		t.Fatal(err)
	}
	var back Truth
	d := json.NewDecoder(&out)
	d.DisallowUnknownFields()
	if err := d.Decode(&back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back.Scenario, g.Scenario()) || !reflect.DeepEqual(back.Books, g.Books()) {
		t.Error("the truth file does not hold the scenario and the books")
	}
}

func TestRunAndProgress(t *testing.T) {
	s := Tiny(9)
	records := 0
	drain(t, generate(t, s), func(*Record) { records++ })

	g := generate(t, s)
	got, last := 0, Progress{}
	if err := g.Run(context.Background(), func(batch []Record) error {
		got += len(batch)
		p := g.Progress()
		if p.Records != uint64(got) || p.At < last.At || p.Phase < last.Phase || (p.Phase == last.Phase && p.Fraction < last.Fraction) || p.Fraction > 1 {
			t.Fatalf("progress %+v after %+v and %d records", p, last, got)
		}
		last = p
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got != records || g.Progress().Fraction != 1 || g.Progress().Phase != After {
		t.Errorf("%d records of %d, then %+v", got, records, g.Progress())
	}

	stop := errors.New("stop")
	g = generate(t, s)
	if err := g.Run(context.Background(), func([]Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the receiver's error comes back as %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Run(ctx, func([]Record) error { t.Error("called after the end of ctx"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run returns %v", err)
	}
}

func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	s := Crowd(1)
	s.Players, s.HistoryMS, s.Earlier = 20_000, 7*day, nil
	var r Record
	records, bytes := 0, 0
	for b.Loop() {
		g := generate(b, s)
		for g.Next(&r) {
			records++
			bytes += len(r.Value)
		}
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(bytes)/float64(records), "B/event")
	b.ReportMetric(0, "ns/op")
}

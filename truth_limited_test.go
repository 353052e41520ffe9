package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"maps"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
	"github.com/droplift/droplift/processors"
	"github.com/droplift/droplift/processors/inventory"
)

// drops is the catalogue as it stands in a simulation.
type drops map[string]*event.Drop

func (d drops) Drop(id string, _ int64) *event.Drop { return d[id] }

// limitedRun plays a scenario's checkouts through the inventory rules of some partitions and their rollup.
type limitedRun struct {
	t          *testing.T
	drops      drops
	partitions []*processors.Partition
	rollup     *processors.Rollup
	partials   map[string]event.Inventory // newest by key
	estimates  map[string]event.Estimate
	decided    map[string][]string // by drop and sku
	decoder    event.Decoder
}

func newLimitedRun(t *testing.T, partitions int32) *limitedRun {
	r := &limitedRun{t: t, drops: drops{}, partials: map[string]event.Inventory{}, estimates: map[string]event.Estimate{}, decided: map[string][]string{}}
	for i := range partitions {
		rule := must(inventory.New(inventory.Config{}, i, r.drops))
		r.partitions = append(r.partitions, processors.NewPartition(i, processors.Config{ProgressEvery: 1000, Inputs: []event.Kind{event.KindCheckout}}, r.drops, []processors.Rule{rule}))
	}
	r.rollup = processors.NewRollup(0, []processors.RollupRule{must(inventory.NewRollup(inventory.RollupConfig{}, r.drops))})
	return r
}

func (r *limitedRun) process(record event.Record) {
	h := fnv.New32a()
	h.Write(record.Key)
	r.partitions[h.Sum32()%uint32(len(r.partitions))].Process(record)
}

// flush commits both stages.
func (r *limitedRun) flush(now int64) {
	r.t.Helper()
	for _, p := range r.partitions {
		for _, m := range p.Flush(now, []bool{false}) {
			record := event.Record{Kind: m.Kind, Key: bytes.Clone(m.Key), Value: bytes.Clone(m.Value)}
			switch m.Kind {
			case event.KindInventory:
				var v event.Inventory
				if err := new(event.Decoder).Inventory(record.Value, &v); err != nil {
					r.t.Fatal(err)
				}
				r.partials[string(record.Key)] = v
			case event.KindProgress:
			default:
				continue
			}
			if got := r.rollup.Process(record); got != event.Accepted {
				r.t.Fatalf("%s is %v", record.Value, got)
			}
		}
		p.Changes(func(string, []byte) {})
		p.Commit()
	}
	for _, m := range r.rollup.Flush(now, []bool{true, true}) {
		switch m.Kind {
		case event.KindEstimate:
			var e event.Estimate
			if err := new(event.Decoder).Estimate(bytes.Clone(m.Value), &e); err != nil {
				r.t.Fatal(err)
			}
			r.estimates[e.DropID+" "+e.Dimensions[0].Value] = e
		case event.KindDecision:
			var d event.Decision
			if err := new(event.Decoder).Decision(bytes.Clone(m.Value), &d); err != nil {
				r.t.Fatal(err)
			}
			r.decided[d.DropID+" "+d.Subject] = append(r.decided[d.DropID+" "+d.Subject], d.Chosen)
		}
	}
	r.rollup.Changes(func(string, []byte) {})
	r.rollup.Commit()
}

// What the partials and the rollup say of simulated drops is what the books hold: by sku, channel and partner.
func TestLimitedRunsAgainstBooks(t *testing.T) {
	seed := pipelineSeed(t)
	blind := simulate.Tiny(seed)
	blind.Players, blind.Behaviour.PointOfSale, blind.Faults.BlindTill = 1200, 0.3, 1
	for name, scenario := range map[string]simulate.Scenario{"tiny": simulate.Tiny(seed), "blind tills": blind} {
		t.Run(name, func(t *testing.T) {
			generator, err := simulate.New(scenario)
			if err != nil {
				t.Fatal(err)
			}
			r := newLimitedRun(t, 3)
			var record simulate.Record
			var ev event.Event
			last, n := int64(0), int64(0)
			for generator.Next(&record) {
				last = record.At
				switch record.Kind {
				case event.KindDrop:
					if r.decoder.Decode(event.KindDrop, record.Value, &ev) == nil {
						entry := ev.Drop
						r.drops[ev.DropID] = &entry
						ev = event.Event{}
					}
				case event.KindCheckout:
					n++
					r.process(event.Record{Kind: record.Kind, Offset: n, Timestamp: record.At, Key: record.Key, Value: record.Value})
				}
				if n%50 == 0 {
					r.flush(record.At)
				}
			}
			// A checkout outside drops, long after all promises, in every partition lets everything become final.
			for i := range 64 {
				var after event.Event
				after.Reset(event.KindCheckout)
				after.ID[0], after.ID[15] = 1, byte(i)
				after.Type, after.EventTime, after.IngestTime, after.PlayerID = event.CheckoutFailed, last+3*24*3_600_000, last+3*24*3_600_000, fmt.Sprint("p", i)
				after.Checkout.CheckoutID, after.Checkout.Currency = fmt.Sprint("after", i), "USD"
				r.process(event.Record{Kind: event.KindCheckout, Offset: n + int64(i), Timestamp: after.EventTime, Key: []byte(after.PlayerID), Value: event.Append(nil, &after)})
			}
			r.flush(last + 3*24*3_600_000)
			books := generator.Books()
			for drop, b := range books.Drops {
				if drop != "" {
					r.compare(drop, b.Accepted)
				}
			}
			main := books.Drops[generator.MainDrop()].Accepted
			t.Logf("seed %d: sold %v, oversold %v, channels %v, partners %+v", seed, main.Sold, main.Oversold, main.Channels, main.Partners)
			if name != "tiny" && (len(main.Sold) < 5 || main.Channels["pos"] == 0 || main.Partners["corner-shop"].Promised == 0 || len(main.Oversold) == 0) {
				t.Error("the scenario tests little")
			}
		})
	}
}

func (r *limitedRun) compare(drop string, b simulate.DropView) {
	r.t.Helper()
	sold, channels, oversold := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	type promises struct{ promised, cancelled, due, late uint64 }
	partners := map[string]promises{}
	for key, v := range r.partials {
		if v.DropID != drop {
			continue
		}
		if v.Maturity != event.Final {
			r.t.Errorf("%s ends %s", key, v.Maturity)
		}
		if v.Sold > 0 {
			sold[v.SKU] += v.Sold
			channels[v.Channel] += v.Checkouts
		}
		if v.Partner != "" {
			p := partners[v.Partner]
			partners[v.Partner] = promises{p.promised + v.Promised, p.cancelled + v.Cancelled, p.due + v.Due, p.late + v.Late}
		}
	}
	want := map[string]promises{}
	for name, f := range b.Partners {
		// What is open when the run ends is late in the end: nobody hands it over any more.
		want[name] = promises{f.Promised, f.Cancelled, f.Kept + f.Late + f.Open, f.Late + f.Open}
	}
	if !maps.Equal(sold, b.Sold) || !maps.Equal(channels, b.Channels) || !maps.Equal(partners, want) {
		r.t.Errorf("drop %s:\npartials %v %v %+v\nbooks    %v %v %+v", drop, sold, channels, partners, b.Sold, b.Channels, want)
	}
	for _, item := range r.drops[drop].Items {
		e, known := r.estimates[drop+" "+item.SKU]
		if e.Numerator != b.Sold[item.SKU] || e.N != item.Inventory && known {
			r.t.Errorf("drop %s: %s has sold %d of %d, the books have %d of %d", drop, item.SKU, e.Numerator, e.N, b.Sold[item.SKU], item.Inventory)
		}
		details := map[string]float64{}
		for _, d := range e.Details {
			details[d.Name] = d.Value
		}
		if n := uint64(details["oversold"]); n > 0 {
			oversold[item.SKU] = n
		}
		full := item.Inventory > 0 && b.Sold[item.SKU] >= item.Inventory
		if (details["sold_out_at"] != 0) != full || full && details["sold_out_final"] != 1 || details["reserved"] != 0 {
			r.t.Errorf("drop %s: %s ends as %v", drop, item.SKU, details)
		}
		decided := r.decided[drop+" "+item.SKU]
		status := ""
		if len(decided) > 0 {
			status = decided[len(decided)-1]
		}
		if over := b.Oversold[item.SKU] > 0; over != (status == "oversold") || full && !over && status != "sold_out" {
			r.t.Errorf("drop %s: %s of %d pieces, %d sold, is decided %q", drop, item.SKU, item.Inventory, b.Sold[item.SKU], decided)
		}
	}
	if !maps.Equal(oversold, b.Oversold) {
		r.t.Errorf("drop %s: oversold %v, the books have %v", drop, oversold, b.Oversold)
	}
}

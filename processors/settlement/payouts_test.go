package settlement

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// rails drives Payouts the way the runtime does. Every transaction is rolled back once before it commits, and every commit is followed by a restart.
type rails struct {
	t         *testing.T
	cfg       Config
	catalogue drops
	payouts   *Payouts
	log       []map[string][]byte
	published []event.Settlement
	revision  uint64
}

func newRails(t *testing.T, cfg Config, catalogue drops) *rails {
	r := &rails{t: t, cfg: cfg, catalogue: catalogue, log: []map[string][]byte{{}, {}}}
	r.restart()
	return r
}

func (r *rails) restart() {
	p, err := NewPayouts(r.cfg, r.catalogue)
	if err != nil {
		r.t.Fatal(err)
	}
	for i, table := range p.Tables() {
		for _, key := range slices.Sorted(maps.Keys(r.log[i])) {
			if err := table.Restore(key, r.log[i][key]); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	r.payouts = p
}

// turn is one transaction; it returns what it published, one line each: id status amount psp paid.
func (r *rails) turn(payables ...event.Payable) string {
	r.t.Helper()
	var records []event.Record
	for _, v := range payables {
		r.revision++
		if v.Revision == 0 {
			v.Revision = r.revision
		}
		if v.Currency == "" {
			v.Currency = "USD"
		}
		records = append(records, event.Record{Kind: event.KindPayable, Value: v.AppendJSON(nil)})
	}
	var out processors.Output
	var lines []string
	for attempt := range 2 {
		for i := range records {
			if err := r.payouts.Apply(&records[i]); err != nil {
				r.t.Fatal(err)
			}
		}
		out = processors.Output{}
		r.payouts.Flush(processors.RollupTimes{}, &out)
		again := render(out.Messages())
		if attempt == 0 {
			lines = again
			for _, table := range r.payouts.Tables() {
				table.Changes(func(string, []byte) {})
				table.Rollback()
			}
		} else if !slices.Equal(lines, again) {
			r.t.Fatalf("after a rollback %q instead of %q", again, lines)
		}
	}
	for i, table := range r.payouts.Tables() {
		table.Changes(func(key string, value []byte) {
			if value == nil {
				delete(r.log[i], key)
				return
			}
			r.log[i][strings.Clone(key)] = slices.Clone(value)
		})
		table.Commit()
	}
	r.restart()
	var got []string
	for _, m := range out.Messages() {
		var s event.Settlement
		if err := new(event.Decoder).Settlement(m.Value, &s); err != nil {
			r.t.Fatal(err)
		}
		if s.Status != statusUnknown && string(m.Key) != s.ID {
			r.t.Errorf("%s has key %s", s.ID, m.Key)
		}
		r.published = append(r.published, s)
		got = append(got, fmt.Sprintf("%s %s %d %d %d", s.ID, s.Status, s.Amount, s.PSPAmount, s.Paid))
	}
	return strings.Join(got, "; ")
}

func (r *rails) want(got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("published %q, want %q", got, want)
	}
}

func accrued(partition int32, watermark, amount int64) event.Payable {
	return event.Payable{Participant: "a", DropID: "d", Partition: partition, Watermark: watermark, Accrued: amount}
}

func paid(instruction string, amount int64, seq uint32) event.Payable {
	return event.Payable{Participant: "a", Watermark: noon, Instruction: instruction, Paid: amount, Seq: seq}
}

func TestPayoutCourse(t *testing.T) {
	release, reserve := noon+7*dayMS, noon+120*dayMS
	r := newRails(t, Config{MinPayout: map[string]int64{"USD": 1000}}, drops{"d": {EndMS: noon, Splits: []event.Split{shares(1, "platform", 1000, "a", 9000)}}})
	r.want(r.turn(accrued(0, release-1, 2001), accrued(1, release, 3000)), "") // a moment too early in partition 0
	r.want(r.turn(accrued(0, release, 2001)), "a|USD|1 open 4501 4501 0")      // 5001 less 10 %, floored: the reserve is 500
	r.want(r.turn(accrued(0, release+1, 2001)), "")                            // instructed already
	r.want(r.turn(accrued(0, release+2, 1001)), "")                            // a refund after that: 3601 released, 900 owed back
	r.want(r.turn(paid("a|USD|1", 4501, 0)), "a|USD|1 settled 4501 4501 4501")
	r.want(r.turn(accrued(1, release+3, 5110)), "") // 5500 released, 999 available: below the minimum
	r.want(r.turn(accrued(1, release+4, 5111)), "a|USD|2 open 1000 1000 0")
	r.want(r.turn(paid("a|USD|2", 1000, 0)), "a|USD|2 settled 1000 1000 1000")
	r.want(r.turn(accrued(0, reserve, 1001), accrued(1, reserve-1, 6500)), "a|USD|3 open 1250 1250 0") // 6751 released
	r.want(r.turn(accrued(1, reserve, 6500)), "")                                                      // the reserve of 750 is released, and below the minimum
	r.want(r.turn(accrued(1, reserve+1, 6749)), "")
	r.want(r.turn(accrued(0, reserve+1, 1001), accrued(1, reserve+2, 6750)), "a|USD|4 open 1000 1000 0")
	if last := r.published[len(r.published)-1]; last.AsOf != reserve+2 || last.Revision != 1 || last.Seq != 4 {
		t.Errorf("published %+v", last)
	}
}

// A hold blocks payout, not accrual; lifting it in the catalogue is enough.
func TestPayoutHold(t *testing.T) {
	held := shares(1, "platform", 1000, "a", 9000)
	held.Shares[1].Hold = true
	catalogue := drops{"d": {EndMS: noon, Splits: []event.Split{held}}}
	r := newRails(t, Config{ReserveBPS: -1}, catalogue)
	r.want(r.turn(accrued(0, noon+8*dayMS, 500)), "")
	r.want(r.turn(accrued(0, noon+9*dayMS, 700)), "")
	catalogue["d"] = &event.Drop{EndMS: noon, Splits: []event.Split{held, shares(2, "platform", 1000, "a", 9000)}}
	r.want(r.turn(), "a|USD|1 open 700 700 0")
	r.want(r.turn(), "")
}

// Bad settled events: an id that nobody issued, another amount, a second payment. What was paid counts in any case.
func TestPayoutAlarms(t *testing.T) {
	r := newRails(t, Config{ReserveBPS: -1}, drops{"d": {EndMS: noon, Splits: []event.Split{shares(1, "a", 10_000)}}})
	r.want(r.turn(paid("b|USD|1", 30, 0)), "b|USD|1 unknown 0 0 30")
	r.want(r.turn(accrued(0, noon+8*dayMS, 100)), "a|USD|1 open 70 70 0")
	r.want(r.turn(paid("a|USD|1", 60, 0)), "a|USD|1 mismatched 70 70 60; a|USD|2 open 10 10 0")
	r.want(r.turn(paid("a|USD|2", 10, 0)), "a|USD|2 settled 10 10 10")
	r.want(r.turn(paid("a|USD|2", 10, 1)), "a|USD|2 double 10 10 20")
	r.want(r.turn(accrued(0, noon+8*dayMS, 109)), "") // one more is still owed back
	r.want(r.turn(accrued(0, noon+8*dayMS, 111)), "a|USD|3 open 1 1 0")
	r.want(r.turn(paid("a|USD|03", 1, 0)), "a|USD|03 unknown 0 0 1") // not how an id is written
	older := accrued(0, noon+8*dayMS, 5000)
	older.Revision = 1
	r.want(r.turn(older), "") // an older revision changes nothing
}

func TestPayoutPrecision(t *testing.T) {
	r := newRails(t, Config{ReserveBPS: -1, MinPayout: map[string]int64{"KWD": 20}}, drops{"d": {EndMS: noon, Splits: []event.Split{shares(1, "a", 10_000)}}})
	in := func(currency string, amount int64) event.Payable {
		v := accrued(0, noon+8*dayMS, amount)
		v.Currency = currency
		return v
	}
	r.want(r.turn(in("KWD", 19)), "")
	r.want(r.turn(in("KWD", 29)), "a|KWD|1 open 20 20 0")
	r.want(r.turn(in("MGA", 250)), "a|MGA|1 open 200 2 0")
	r.want(r.turn(in("ISK", 45)), "a|ISK|1 open 45 4500 0")
	r.want(r.turn(in("USD", 1)), "a|USD|1 open 1 1 0")
}

func TestPayoutCounts(t *testing.T) {
	held := shares(1, "h", 10_000)
	held.Shares[0].Hold = true
	p, err := NewPayouts(Config{ReserveBPS: -1}, drops{"d": {EndMS: noon, Splits: []event.Split{shares(1, "a", 10_000)}}, "h": {EndMS: noon, Splits: []event.Split{held}}})
	if err != nil {
		t.Fatal(err)
	}
	apply := func(values ...event.Payable) {
		for _, v := range values {
			v.Currency, v.Revision = "USD", 1
			if err := p.Apply(&event.Record{Kind: event.KindPayable, Value: v.AppendJSON(nil)}); err != nil {
				t.Fatal(err)
			}
		}
		p.Flush(processors.RollupTimes{}, new(processors.Output))
	}
	h := accrued(0, noon+8*dayMS, 5)
	h.Participant, h.DropID = "h", "h"
	apply(accrued(0, noon+8*dayMS, 50), h)
	apply(paid("a|USD|1", 50, 0), paid("a|USD|9", 1, 0), paid("a|USD|1", 1, 1))
	got := map[string]uint64{}
	p.Outcomes(func(outcome string, total uint64) { got[outcome] = total })
	if want := map[string]uint64{"issued": 1, "held": 1, "settled": 1, "unknown": 1, "double": 1, "mismatched": 0}; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	if err := p.Apply(&event.Record{Kind: event.KindPayable, Value: []byte("{")}); err == nil {
		t.Error("half a record is taken")
	}
	if err := p.Apply(&event.Record{Kind: event.KindEstimate, Value: []byte("{")}); err != nil {
		t.Error(err)
	}
}

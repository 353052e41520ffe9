package settlement

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// drops is a catalogue that tests change.
type drops map[string]*event.Drop

func (d drops) Drop(id string, _ int64) *event.Drop { return d[id] }

const noon int64 = 1_772_452_800_000

// shares makes a version of shares from participant and basis points by turns.
func shares(version uint32, of ...any) event.Split {
	s := event.Split{Version: version}
	for i := 0; i < len(of); i += 2 {
		s.Shares = append(s.Shares, event.Share{Participant: of[i].(string), BPS: uint32(of[i+1].(int))})
	}
	return s
}

func money(kind event.Type, checkout string, seq uint32, amount int64) *event.Event {
	ev := &event.Event{Kind: event.KindCheckout}
	ev.ID = uuid.Must(uuid.NewV7())
	ev.Type, ev.EventTime, ev.IngestTime, ev.PlayerID, ev.DropID = kind, noon, noon+1, "p-"+checkout, "d"
	ev.Checkout = event.Checkout{CheckoutID: checkout, Amount: amount, Currency: "USD", SplitVersion: 1, Seq: seq}
	return ev
}

type balance struct{ account, participant, currency string }

// books drives a ledger the way the runtime does, and holds its blocks against the invariants of DOMAIN 8.2.
type books struct {
	t         testing.TB
	cfg       Config
	ledger    *Ledger
	catalogue drops
	watermark int64

	log      []map[string][]byte // the change-log by table
	head     event.Ledger
	keys     map[string]bool
	balances map[balance]int64
	postings int
	outcomes map[string]int // exceptions
	payables []event.Payable
}

func newBooks(t testing.TB, cfg Config, catalogue drops) *books {
	b := &books{t: t, cfg: cfg, catalogue: catalogue, keys: map[string]bool{}, balances: map[balance]int64{}, outcomes: map[string]int{}, watermark: noon}
	b.make()
	for range b.ledger.Tables() {
		b.log = append(b.log, map[string][]byte{})
	}
	return b
}

func (b *books) make() {
	l, err := NewLedger(b.cfg, 3, b.catalogue)
	if err != nil {
		b.t.Fatal(err)
	}
	b.ledger = l
}

func (b *books) apply(events ...*event.Event) {
	for _, ev := range events {
		b.ledger.Apply(ev, ev.EventTime)
	}
}

// flush ends the transaction with a commit, or with a rollback and all of it again.
func (b *books) flush(again []*event.Event) {
	b.t.Helper()
	var out processors.Output
	times := processors.Times{Watermark: b.watermark, Now: noon + 5}
	b.ledger.Flush(times, &out)
	if again != nil {
		first := render(out.Messages())
		for _, table := range b.ledger.Tables() {
			table.Changes(func(string, []byte) {})
			table.Rollback()
		}
		b.apply(again...)
		out = processors.Output{}
		b.ledger.Flush(times, &out)
		if second := render(out.Messages()); !slices.Equal(first, second) {
			b.t.Fatalf("after a rollback:\n%s\ninstead of\n%s", strings.Join(second, "\n"), strings.Join(first, "\n"))
		}
	}
	for i, table := range b.ledger.Tables() {
		table.Changes(func(key string, value []byte) {
			if value == nil {
				delete(b.log[i], key)
				return
			}
			b.log[i][strings.Clone(key)] = slices.Clone(value)
		})
		table.Commit()
	}
	b.read(out.Messages())
}

func render(messages []event.Message) (lines []string) {
	for _, m := range messages {
		lines = append(lines, string(m.Key)+" "+string(m.Value))
	}
	return lines
}

// restart replaces the ledger by one restored from the change-log.
func (b *books) restart() {
	b.t.Helper()
	b.make()
	for i, table := range b.ledger.Tables() {
		for _, key := range slices.Sorted(maps.Keys(b.log[i])) {
			if err := table.Restore(key, b.log[i][key]); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

func (b *books) read(messages []event.Message) {
	b.t.Helper()
	for _, m := range messages {
		switch m.Kind {
		case event.KindPayable:
			var v event.Payable
			if err := new(event.Decoder).Payable(m.Value, &v); err != nil {
				b.t.Fatal(err)
			}
			b.payables = append(b.payables, v)
		case event.KindLedger:
			var l event.Ledger
			if err := new(event.Decoder).Ledger(m.Value, &l); err != nil {
				b.t.Fatal(err)
			}
			b.block(&l)
			b.head = l
		}
	}
}

func (b *books) block(l *event.Ledger) {
	b.t.Helper()
	if l.Height != b.head.Height+1 || l.Previous != b.head.Hash || l.Hash != l.Digest() {
		b.t.Fatalf("block %d on %q with hash %q does not stand on block %d with %q, or is not what it hashes", l.Height, l.Previous, l.Hash, b.head.Height, b.head.Hash)
	}
	for i := range l.Transactions {
		t := &l.Transactions[i]
		key := strings.Join([]string{t.Source, t.CheckoutID, t.Type, string(rune('0' + t.Seq))}, "|")
		if b.keys[key] {
			b.t.Fatalf("%s is posted twice", key)
		}
		b.keys[key] = true
		sum := int64(0)
		for _, p := range t.Postings {
			if p.Amount == 0 || (p.Account == event.AccountPayable) != (p.Participant != "") {
				b.t.Fatalf("%s: posting %+v", key, p)
			}
			sum += p.Amount
			b.balances[balance{p.Account, p.Participant, t.Currency}] += p.Amount
		}
		if sum != 0 {
			b.t.Fatalf("%s: postings sum to %d", key, sum)
		}
		b.postings += len(t.Postings)
	}
	for _, e := range l.Exceptions {
		b.outcomes[e.Outcome]++
	}
}

func (b *books) counted() map[string]uint64 {
	counts := map[string]uint64{}
	b.ledger.Outcomes(func(outcome string, total uint64) { counts[outcome] = total })
	return counts
}

// commitOnly is a flush as the runtime makes it, with nobody reading along.
func (b *books) commitOnly() {
	var out processors.Output
	b.ledger.Flush(processors.Times{Watermark: b.watermark, Now: noon}, &out)
	for _, table := range b.ledger.Tables() {
		table.Changes(func(string, []byte) {})
		table.Commit()
	}
}

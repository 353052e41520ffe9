package simulate

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

// judge recounts a run from its bytes alone, by the rules that Books states and
// over some number of partitions, as naively as possible.
type judge struct {
	partitions uint32
	decoder    event.Decoder
	catalogue  map[string]bool
	newest     map[partition]int64
	seen       map[uuid.UUID]bool // accepted or late
	distinct   map[event.Kind]map[uuid.UUID]bool
	ends       map[string]int64 // of drops
	firsts     map[walker][event.NumSteps]int64
	players    [numViews]map[string]*life
	books      *Books
	// items by drop and sku; orders by view and checkout.
	items  map[string]map[string]uint64
	orders [numViews]map[string][]sighting
}

// sighting is one distinct checkout record.
type sighting struct {
	ev event.Event
	at int64
}

type partition struct {
	kind   event.Kind
	number uint32
}

type walker struct {
	view         int
	drop, player string
}

type life struct {
	seen, paid    int64
	drop, creator string
}

func newJudge(partitions uint32) *judge {
	j := &judge{
		partitions: partitions, catalogue: map[string]bool{}, items: map[string]map[string]uint64{}, ends: map[string]int64{}, newest: map[partition]int64{}, seen: map[uuid.UUID]bool{},
		distinct: map[event.Kind]map[uuid.UUID]bool{}, firsts: map[walker][event.NumSteps]int64{},
		books: &Books{Topics: map[string]TopicBooks{}, Drops: map[string]DropBooks{}, Valid: newAcquisition(), Accepted: newAcquisition()},
	}
	for view := range j.players {
		j.players[view] = map[string]*life{}
		j.orders[view] = map[string][]sighting{}
	}
	j.books.Drops[""] = DropBooks{Valid: emptyView(), Accepted: emptyView()}
	return j
}

func (j *judge) record(r *Record) {
	t := j.books.Topics[r.Kind.Topic()]
	if t.Types == nil {
		t.Types, t.DeadLetters = map[string]Count{}, map[string]uint64{}
	}
	t.Records++
	defer func() { j.books.Topics[r.Kind.Topic()] = t }()

	var ev event.Event
	if err := j.decoder.Decode(r.Kind, r.Value, &ev); err != nil {
		t.DeadLetters[err.Reason.String()]++
		t.Undecodable++
		return
	}
	if j.distinct[r.Kind] == nil {
		j.distinct[r.Kind] = map[uuid.UUID]bool{}
	}
	if !j.distinct[r.Kind][ev.ID] {
		j.distinct[r.Kind][ev.ID] = true
		t.Distinct++
	}
	ingest := ev.IngestTime
	if ingest == 0 {
		ingest = r.At
	}
	if away := ev.EventTime - ingest; away > 7*day || away < -7*day {
		t.DeadLetters[event.ReasonClock.String()]++
		return
	}
	if r.Kind == event.KindDrop && !j.catalogue[ev.DropID] {
		j.catalogue[ev.DropID] = true
		j.ends[ev.DropID] = ev.Drop.EndMS
		j.items[ev.DropID] = map[string]uint64{}
		for _, item := range ev.Drop.Items {
			j.items[ev.DropID][strings.Clone(item.SKU)] = item.Inventory
		}
		j.books.Drops[ev.DropID] = DropBooks{Valid: emptyView(), Accepted: emptyView()}
	}
	if ev.DropID != "" && !j.catalogue[ev.DropID] {
		t.DeadLetters[event.ReasonUnknownDrop.String()]++
		return
	}
	at, skewed := ev.EventTime, ev.EventTime > ingest+60_000
	if skewed {
		at = ingest
	}
	h := fnv.New32a()
	h.Write(r.Key)
	p := partition{r.Kind, h.Sum32() % j.partitions}
	if newest, ok := j.newest[p]; ok && at <= newest-10_000-1-600_000 {
		t.Late++
		t.Valid++
		j.enter(&t, &ev, at, viewValid)
		return
	}
	if j.seen[ev.ID] {
		t.Duplicates++
		return
	}
	j.seen[ev.ID] = true
	if skewed {
		t.Skewed++
	} else {
		j.newest[p] = max(j.newest[p], ev.EventTime)
	}
	if ev.IngestTime == 0 {
		t.Unstamped++
	}
	t.Accepted++
	t.Valid++
	j.enter(&t, &ev, at, viewValid)
	j.enter(&t, &ev, at, viewAccepted)
}

func (j *judge) enter(t *TopicBooks, ev *event.Event, at int64, view int) {
	c := t.Types[ev.Type.String()]
	d := j.books.Drops[ev.DropID]
	v := &d.Valid
	if view == viewValid {
		c.Valid++
	} else {
		c.Accepted++
		v = &d.Accepted
	}
	t.Types[ev.Type.String()] = c

	if ev.Kind == event.KindCheckout {
		kept := sighting{ev: *ev, at: at}
		kept.ev.DropID, kept.ev.Checkout.SKU = strings.Clone(ev.DropID), strings.Clone(ev.Checkout.SKU)
		kept.ev.Checkout.Partner, kept.ev.Checkout.Channel = strings.Clone(ev.Checkout.Partner), strings.Clone(ev.Checkout.Channel)
		id := strings.Clone(ev.Checkout.CheckoutID)
		j.orders[view][id] = append(j.orders[view][id], kept)
	}
	step := -1
	switch ev.Type {
	case event.LandingView:
		step = event.StepLanding
	case event.OfferImpression:
		step = event.StepImpression
	case event.OfferClick:
		step = event.StepClick
	case event.CheckoutStarted:
		step = event.StepStarted
	case event.CheckoutCompleted:
		step = event.StepCompleted
		v.Completed++
		j.money(v, ev, Money{Completed: 1, Gross: ev.Checkout.Amount})
	case event.CheckoutFailed:
		v.Failed++
	case event.CheckoutRefunded:
		v.Refunded++
		j.money(v, ev, Money{Refunds: ev.Checkout.Amount})
	case event.CheckoutChargeback:
		v.Chargeback++
		j.money(v, ev, Money{Chargebacks: ev.Checkout.Amount})
	case event.Cue:
		cues := v.Cues[ev.Subtitle.TargetLanguage]
		cues.Expected++
		if ev.Subtitle.Missing {
			cues.Missing++
		}
		if c := &ev.Subtitle; !c.Missing && c.DisplayMS <= c.SpeechStartMS+5000 && c.OnScreenMS >= 833 && c.OnScreenMS <= 7000 {
			fast := 1000*c.Graphemes > 20*uint32(c.OnScreenMS) || 60_000*c.Words > 180*uint32(c.OnScreenMS)
			if c.TargetLanguage == "ja" {
				fast = 1000*c.Graphemes > 12*uint32(c.OnScreenMS)
			}
			if !fast {
				cues.Good++
			}
		}
		v.Cues[ev.Subtitle.TargetLanguage] = cues
	}
	if step >= 0 {
		v.Events[step]++
		k := walker{view, ev.DropID, ev.PlayerID}
		f := j.firsts[k]
		if at < j.ends[ev.DropID] && (f[step] == 0 || at < f[step]) {
			f[step] = at
		}
		j.firsts[k] = f
	}
	j.books.Drops[ev.DropID] = d
	if ev.PlayerID == "" {
		return
	}
	l := j.players[view][ev.PlayerID]
	if l == nil {
		l = &life{seen: at}
		j.players[view][ev.PlayerID] = l
	}
	l.seen = min(l.seen, at)
	if ev.Type == event.CheckoutCompleted && (l.paid == 0 || at < l.paid) {
		l.paid, l.drop, l.creator = at, ev.DropID, ev.CreatorID
	}
}

func (j *judge) money(v *DropView, ev *event.Event, m Money) {
	sum := func(a Money) Money {
		return Money{a.Completed + m.Completed, a.Gross + m.Gross, a.Refunds + m.Refunds, a.Chargebacks + m.Chargebacks}
	}
	v.Money[ev.Checkout.Currency] = sum(v.Money[ev.Checkout.Currency])
	p := v.POPs[ev.POP]
	if p.Money == nil {
		p.Money = map[string]Money{}
	}
	p.Completed += m.Completed
	p.Money[ev.Checkout.Currency] = sum(p.Money[ev.Checkout.Currency])
	v.POPs[ev.POP] = p
}

// goods recounts what was sold and what became of promises, order by order.
func (j *judge) goods(view int) {
	for _, records := range j.orders[view] {
		slices.SortStableFunc(records, func(a, b sighting) int { return cmp.Compare(a.at, b.at) })
		drop := j.books.Drops[records[0].ev.DropID]
		v := &drop.Valid
		if view == viewAccepted {
			v = &drop.Accepted
		}
		var sale *event.Checkout
		handed, back := int64(0), int64(0)
		for i := range records {
			c := &records[i].ev.Checkout
			switch typ := records[i].ev.Type; {
			case typ == event.CheckoutCompleted:
				sale = c
				v.Sold[c.SKU] += uint64(c.Quantity)
				v.Channels[c.Channel]++
			case handed == 0 && (typ == event.CheckoutShipped || typ == event.CheckoutFulfilled):
				handed = records[i].at
			}
		}
		if sale != nil && sale.Partner != "" {
			for i := range records {
				if r := &records[i]; r.ev.Type == event.CheckoutRefunded && r.ev.Checkout.Amount == sale.Amount {
					back = r.at
				}
			}
			f := v.Partners[sale.Partner]
			f.Promised++
			if back > 0 && back <= sale.PromisedBy && (handed == 0 || back < handed) {
				f.Cancelled++
			} else if handed == 0 {
				f.Open++
			} else if handed > sale.PromisedBy {
				f.Late++
			} else {
				f.Kept++
			}
			v.Partners[sale.Partner] = f
		}
		for sku, n := range v.Sold {
			if limit := j.items[records[0].ev.DropID][sku]; limit > 0 && n > limit {
				v.Oversold[sku] = n - limit
			}
		}
		j.books.Drops[records[0].ev.DropID] = drop
	}
}

// finish closes the books: goods, the ordered funnel and the acquisition.
func (j *judge) finish() *Books {
	for view := range j.orders {
		j.goods(view)
	}
	for k, f := range j.firsts {
		if k.drop == "" {
			continue
		}
		d := j.books.Drops[k.drop]
		v := &d.Valid
		if k.view == viewAccepted {
			v = &d.Accepted
		}
		if f[event.StepCompleted] > 0 {
			v.Conversions++
		}
		length := 0
		for length < event.NumSteps && f[length] > 0 && (length == 0 || f[length] >= f[length-1]) &&
			(f[event.StepCompleted] == 0 || f[event.StepLanding] <= f[event.StepCompleted]) {
			v.Players[length]++
			length++
		}
		for _, rest := range f[max(length, 1):] {
			if rest > 0 {
				v.FunnelGap++
				break
			}
		}
		j.books.Drops[k.drop] = d
	}
	week := func(ms int64) string {
		y, w := time.UnixMilli(ms).UTC().ISOWeek()
		return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC).Format("2006") + "-W" + string([]byte{'0' + byte(w/10), '0' + byte(w%10)})
	}
	for view, a := range map[int]*Acquisition{viewValid: &j.books.Valid, viewAccepted: &j.books.Accepted} {
		for _, l := range j.players[view] {
			a.Seen[week(l.seen)]++
			if l.paid > 0 {
				a.Payers[week(l.paid)]++
				a.FirstDrop[l.drop]++
				a.FirstCreator[l.creator]++
			}
		}
	}
	return j.books
}

// visible takes out of b what the bytes do not show.
func visible(b *Books) *Books {
	for topic, t := range b.Topics {
		t.Delayed = 0
		b.Topics[topic] = t
	}
	for id, d := range b.Drops {
		d.Happened = Happened{}
		b.Drops[id] = d
	}
	return b
}

// drain runs g to its end.
func drain(t testing.TB, g *Generator, each func(*Record)) {
	t.Helper()
	var r Record
	last := int64(0)
	for g.Next(&r) {
		if r.At < last {
			t.Fatalf("a record of %d follows one of %d", r.At, last)
		}
		last = r.At
		each(&r)
	}
}

func generate(t testing.TB, s Scenario) *Generator {
	t.Helper()
	g, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

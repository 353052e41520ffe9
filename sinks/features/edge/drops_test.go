package edge

import (
	"testing"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

func entry(version uint32, price int64) []byte {
	ev := event.Event{Kind: event.KindDrop, Drop: event.Drop{Name: "d", Version: version, StartMS: t0 - day, EndMS: t0 + day,
		Items: []event.Item{{SKU: "x-poster", Price: price, Currency: "EUR"}}}}
	ev.ID, ev.Type, ev.EventTime, ev.DropID, ev.CreatorID, ev.SampleRate, ev.SchemaVersion = uuid.UUID{1}, event.Catalogue, t0, "d", "c", 1, 1
	return event.Append(nil, &ev)
}

// The newest version of an entry is offered from, at once; one that cannot be read changes nothing.
func TestDrops(t *testing.T) {
	r := newRig(t, func(cfg *Config) { cfg.Catalogue, cfg.Offers.Holdout.BPS = nil, 0 })
	r.serve()
	price := func() int64 {
		t.Helper()
		if r.Drops.Drop("d", 0) == nil {
			return -1
		}
		return r.Drops.Drop("d", 0).Items[0].Price
	}
	if a := r.ask(asked); a.noOffer() != "unknown_drop" {
		t.Errorf("before the entry: %+v", a)
	}
	for i, c := range []struct {
		value []byte
		want  int64
	}{{entry(2, 500), 500}, {entry(1, 100), 500}, {[]byte("{"), 500}, {entry(2, 600), 600}, {entry(3, 700), 700}} {
		r.Drops.Record([]byte("d"), c.value)
		if price() != c.want {
			t.Errorf("step %d: the price is %d, want %d", i, price(), c.want)
		}
	}
	r.counted(r.m.invalid.WithLabelValues("drop", "malformed"), 1)
	if _, a := r.playerWhere("offered the poster", func(a reply) bool { return a.Offer != nil }); a.Offer.Price != 700 {
		t.Errorf("offer %+v", a.Offer)
	}
	r.Drops.Record([]byte("d"), nil)
	if price() != -1 {
		t.Error("deleted, it is there")
	}
}

package simulate

import (
	"github.com/droplift/droplift/ingest/event"
)

// catalogue publishes every drop at the run's beginning.
func (sh *shard) catalogue() {
	sh.now = sh.w.begin
	for i := range sh.w.drops {
		sh.publish(i, sh.w.drops[i].entry)
	}
	if sh.w.s.Faults.Malformed > 0 {
		sh.malformedCatalogue()
	}
}

// update publishes the second version of a drop.
func (sh *shard) update(dropNumber int) {
	sh.publish(dropNumber, sh.w.drops[dropNumber].updated())
}

// writeDrop writes a catalogue entry into sh.ev.
func (sh *shard) writeDrop(dropNumber int, entry event.Drop) *event.Event {
	d := &sh.w.drops[dropNumber]
	sh.ev = event.Event{Kind: event.KindDrop, Drop: entry, Envelope: event.Envelope{
		ID: sh.id(sh.now), Type: event.Catalogue, EventTime: sh.now, IngestTime: sh.now,
		DropID: d.id, CreatorID: sh.w.creators[d.creator], SampleRate: 1, SchemaVersion: 1,
	}}
	return &sh.ev
}

func (sh *shard) publish(dropNumber int, entry event.Drop) {
	ev := sh.writeDrop(dropNumber, entry)
	sh.sendCatalogue(ev)
	sh.tally.topics[event.KindDrop].accepted++
	sh.enter(ev, subject{player: noPlayer, drop: dropNumber}, sh.now, onTime)
}

func (sh *shard) sendCatalogue(ev *event.Event) {
	key, value := sh.encode(ev.DropID, ev)
	r := Record{Kind: event.KindDrop, Phase: Catalogue, Key: key, Value: value, At: sh.now}
	if sh.now != sh.w.begin {
		r.Phase = Live
	}
	sh.tally.topics[event.KindDrop].records++
	sh.queue(r)
}

// malformedCatalogue publishes entries that must be refused, of drops that nothing else names.
func (sh *shard) malformedCatalogue() {
	main := sh.w.main()
	for _, broken := range []struct {
		id     string
		reason event.Reason
		spoil  func(*event.Drop)
	}{
		{"drop-bad-shares", event.ReasonSplitShares, func(d *event.Drop) {
			d.Splits = []event.Split{{Version: 1, Shares: []event.Share{{Participant: "platform", BPS: 1000}, {Participant: "creator", BPS: 8999}}}}
		}},
		{"drop-bad-times", event.ReasonDropTimes, func(d *event.Drop) { d.EndMS = d.StartMS }},
	} {
		entry := sh.w.drops[main].entry
		broken.spoil(&entry)
		ev := sh.writeDrop(main, entry)
		ev.DropID = broken.id
		sh.sendCatalogue(ev)
		sh.tally.topics[event.KindDrop].letters[broken.reason]++
	}
}

package simulate

import (
	"github.com/google/uuid"

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

// refused is a record that no processor may count, with one defect only, so that
// the reason does not depend on the order of the checks.
type refused struct {
	kind   event.Kind
	reason event.Reason
	// decodes says that only a processor refuses it: the record itself is valid.
	decodes bool
	// spoil changes the event's value.
	spoil func(*spoiler)
}

// malformed sends a broken record of the same sender: a first attempt of a faulty client version.
func (sh *shard) malformed(sub subject) {
	if sub.player == noPlayer {
		// Of the classes only those about subtitles fit a stream.
		sh.sendRefused(sub, &refusedCues[sh.rng.IntN(len(refusedCues))])
		return
	}
	sh.sendRefused(sub, &refusedByPlayers[sh.rng.IntN(len(refusedByPlayers))])
}

func (sh *shard) sendRefused(sub subject, r *refused) {
	at := sh.now + sh.between(20, 500)
	sp := spoiler{id: sh.id(sh.now), kind: r.kind, sub: sub, sh: sh, eventTime: sh.now, ingestTime: at}
	r.spoil(&sp)
	sh.send(r.kind, []byte(sub.key), sp.value, at)
	t := &sh.tally.topics[r.kind]
	t.letters[r.reason]++
	if r.decodes {
		t.quarantined++
	}
}

// spoiler writes the value of a refused record.
type spoiler struct {
	sh                    *shard
	sub                   subject
	kind                  event.Kind
	id                    uuid.UUID
	eventTime, ingestTime int64
	value                 []byte
}

package simulate

import (
	"github.com/droplift/droplift/ingest/event"
)

// noPlayer is the player number of events without one.
const noPlayer = -1

// subject is what an event is about, in the simulation's own numbers.
type subject struct {
	key      string
	player   int32 // of the shard, or noPlayer
	drop     int   // or noDrop
	pop      uint8
	currency uint8
	language uint8 // of subtitles
	skew     int64 // ms that the clock behind event_time runs ahead
}

// fate says which faults may befall an event.
type fate uint8

const (
	ordinary fate = iota
	// clean events arrive, once and in time: others are measured against them.
	clean
)

// Delays in ms between an event and its sending. The lateness rule calls an event
// late when another one, 10 min and 10 s newer, was taken before. Without a wrong
// clock no event is newer than its own sending, so whatever is sent within maxDelay
// is in time under every partitioning; late events instead follow their sender's own
// newer event.
const (
	maxDelay     = 510 * second
	maxReordered = 60 * second
	maxResend    = 4 * minute // after a delay of maxReordered at most
)

// emit sends the event in sh.ev, which happens at its event_time, with the faults
// that befall it, enters it in the books and returns when it is sent.
func (sh *shard) emit(sub subject, f fate) (at int64) {
	ev, faults := &sh.ev, &sh.w.s.Faults
	delay := sh.between(20, 500)
	stamped, again := true, false
	if f == ordinary {
		switch u := sh.rng.Float64(); {
		case u < faults.OutOfOrder:
			delay = sh.between(2*second, maxReordered)
		case u < faults.OutOfOrder+faults.LateWithin && sub.skew == 0:
			delay = sh.between(minute, maxDelay)
		}
		stamped = sub.skew != 0 || !sh.chance(faults.NoIngestTime)
		again = sh.chance(faults.Duplicate) && delay < maxReordered
	}
	at = ev.EventTime + delay
	ev.EventTime += sub.skew
	ev.ID = sh.id(ev.EventTime)
	if stamped {
		ev.IngestTime = at
	}
	key, value := sh.encode(sub.key, ev)
	sh.send(ev.Kind, key, value, at)
	t := &sh.tally.topics[ev.Kind]
	t.accepted++
	if sub.skew != 0 {
		t.skewed++
	}
	if !stamped {
		t.unstamped++
	}
	if delay >= minute {
		t.delayed++
	}
	sh.enter(ev, sub, effective(ev, at), onTime)
	if again {
		t.duplicates++
		sh.send(ev.Kind, key, value, at+sh.between(second, maxResend))
	}
	if f == ordinary && sh.chance(faults.Malformed) {
		sh.malformed(sub)
	}
	return at
}

// effective is the time that counts: the collector's where the client's clock runs ahead.
func effective(ev *event.Event, at int64) int64 {
	ingest := ev.IngestTime
	if ingest == 0 {
		ingest = at
	}
	if ev.EventTime > ingest+60*second {
		return ingest
	}
	return ev.EventTime
}

// held is an event that waits to come beyond the allowed lateness.
type held struct {
	ev  event.Event
	sub subject
}

// wantsLate says whether the next event of kind that can come beyond the allowed
// lateness should, so that the share of such events follows the scenario; chance
// spreads them over the possible ones.
func (sh *shard) wantsLate(kind event.Kind, chance float64) bool {
	t := &sh.tally.topics[kind]
	return float64(t.chosenLate) < sh.w.s.Faults.LateBeyond*float64(t.accepted) && sh.chance(chance)
}

// hold keeps the event in sh.ev back; release must follow. Its subject has no skew.
func (sh *shard) hold(sub subject) *held {
	sh.tally.topics[sh.ev.Kind].chosenLate++
	return &held{ev: sh.ev, sub: sub}
}

// release sends a held event after its sender's newer event, which was sent at after.
func (sh *shard) release(h *held, after int64) {
	at := after + sh.between(10*minute, 50*minute)
	h.ev.ID = sh.id(h.ev.EventTime)
	h.ev.IngestTime = at
	key, value := sh.encode(h.sub.key, &h.ev)
	sh.send(h.ev.Kind, key, value, at)
	sh.tally.topics[h.ev.Kind].late++
	sh.enter(&h.ev, h.sub, h.ev.EventTime, tooLate)
}

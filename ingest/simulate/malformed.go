package simulate

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

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

// refusedByPlayers are the broken records of player clients. Those that decode
// carry types that enter no sums: no completed checkout and no funnel step of a real drop.
var refusedByPlayers = []refused{
	{kind: event.KindPlayer, reason: event.ReasonMalformed, spoil: func(s *spoiler) {
		s.write(event.Heartbeat)
		s.value = s.value[:len(s.value)*2/3]
	}},
	{kind: event.KindLatency, reason: event.ReasonMalformed, spoil: func(s *spoiler) { s.value = []byte("\x00\x9ctimeout") }},
	{kind: event.KindPlayer, reason: event.ReasonWrongType, spoil: func(s *spoiler) {
		s.write(event.Heartbeat)
		s.replace(fmt.Sprintf(`"event_time":%d`, s.eventTime), `"event_time":"yesterday"`)
	}},
	{kind: event.KindPlayer, reason: event.ReasonUnknownType, spoil: func(s *spoiler) {
		s.write(event.Heartbeat)
		s.replace(`"`+event.Heartbeat.String()+`"`, `"teleport"`)
	}},
	{kind: event.KindPlayer, reason: event.ReasonMissingField, spoil: func(s *spoiler) {
		s.write(event.Heartbeat)
		s.replace(fmt.Sprintf(`"event_time":%d`, s.eventTime), `"event_tyme":1`)
	}},
	{kind: event.KindPlayer, reason: event.ReasonBadID, spoil: func(s *spoiler) {
		s.write(event.Heartbeat)
		s.replace(s.id.String(), "not-an-id")
	}},
	{kind: event.KindPlayer, reason: event.ReasonTooLong, spoil: func(s *spoiler) {
		s.write(event.OfferImpression)
		s.replace(`"sku":"pass"`, `"sku":"`+strings.Repeat("x", event.MaxTextBytes+1)+`"`)
	}},
	{kind: event.KindLatency, reason: event.ReasonOutOfRange, spoil: func(s *spoiler) {
		s.write(event.EdgeRequest)
		s.replace(`"ms":7.5`, `"ms":-7.5`)
	}},
	{kind: event.KindLatency, reason: event.ReasonUnknownEnum, spoil: func(s *spoiler) {
		s.write(event.EdgeRequest)
		s.replace(`"request":"asset"`, `"request":"telepathy"`)
	}},
	{kind: event.KindCheckout, reason: event.ReasonWrongType, spoil: func(s *spoiler) {
		s.write(event.CheckoutCompleted)
		s.replace(`"amount":4999`, `"amount":"4999"`)
	}},
	{kind: event.KindCheckout, reason: event.ReasonAmountPrecision, spoil: func(s *spoiler) {
		s.write(event.CheckoutCompleted)
		s.replace(`"amount":4999`, `"amount":49.995`)
	}},
	{kind: event.KindCheckout, reason: event.ReasonUnknownCurrency, spoil: func(s *spoiler) {
		s.write(event.CheckoutCompleted)
		s.replace(`"currency":"USD"`, `"currency":"ZZZ"`)
	}},
	{kind: event.KindCheckout, reason: event.ReasonMissingField, spoil: func(s *spoiler) {
		s.write(event.CheckoutCompleted)
		s.replace(`"amount":4999`, `"amonut":4999`)
	}},
	{kind: event.KindPlayer, reason: event.ReasonUnknownDrop, decodes: true, spoil: func(s *spoiler) { s.write(event.LandingView) }},
	{kind: event.KindCheckout, reason: event.ReasonUnknownDrop, decodes: true, spoil: func(s *spoiler) { s.write(event.CheckoutStarted) }},
	{kind: event.KindPlayer, reason: event.ReasonClock, decodes: true, spoil: func(s *spoiler) {
		s.eventTime -= 8 * day
		s.write(event.Heartbeat)
	}},
	{kind: event.KindLatency, reason: event.ReasonClock, decodes: true, spoil: func(s *spoiler) {
		s.eventTime += 30 * day
		s.write(event.EdgeRequest)
	}},
}

// refusedCues are the broken records of streams.
var refusedCues = []refused{
	{kind: event.KindSubtitle, reason: event.ReasonWrongType, spoil: func(s *spoiler) {
		s.write(event.Cue)
		s.replace(`"speech_start_ms":1000`, `"speech_start_ms":"00:00:01.000"`)
	}},
	{kind: event.KindSubtitle, reason: event.ReasonMissingField, spoil: func(s *spoiler) {
		s.write(event.Cue)
		s.replace(`"source_language":`, `"sauce_language":`)
	}},
}

// unknownDrop is in no catalogue.
const unknownDrop = "drop-from-nowhere"

// write appends a valid event of the spoiler's kind. Landing views and started
// checkouts name an unknown drop; everything else happens outside drops.
func (s *spoiler) write(typ event.Type) {
	ev := event.Event{Kind: s.kind, Envelope: event.Envelope{
		ID: s.id, Type: typ, EventTime: s.eventTime, IngestTime: s.ingestTime, SampleRate: 1, SchemaVersion: 1,
	}}
	if s.sub.player != noPlayer {
		ev.PlayerID = s.sub.key
		ev.POP = s.sh.w.s.POPs[s.sub.pop].Name
	}
	if typ == event.LandingView || typ == event.CheckoutStarted {
		ev.DropID = unknownDrop
	}
	switch s.kind {
	case event.KindPlayer:
		if typ == event.OfferImpression {
			ev.Player.SKU = "pass"
		}
	case event.KindLatency:
		ev.Latency = event.Latency{Request: event.RequestAsset, MS: 7.5}
	case event.KindCheckout:
		ev.Checkout = event.Checkout{CheckoutID: s.sh.name('c'), Amount: 4999, Currency: "USD", SKU: "pass", Quantity: 1}
	case event.KindSubtitle:
		ev.Subtitle = event.Subtitle{StreamID: s.sub.key, CueID: 1, SpeechStartMS: 1000, SourceLanguage: s.sh.w.s.SourceLanguage,
			TargetLanguage: s.sh.w.s.Languages[s.sub.language]}
	}
	s.value = event.Append(nil, &ev)
}

func (s *spoiler) replace(old, new string) {
	s.value = bytes.Replace(s.value, []byte(old), []byte(new), 1)
}

package event

import (
	"fmt"
	"strings"
	"testing"
)

func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", MaxTextBytes)
	for _, c := range []struct {
		kind     Kind
		old, new string // replaced in the kind's sample
		reason   Reason
		field    string
	}{
		{KindPlayer, samples[KindPlayer], ``, ReasonMalformed, ""},
		{KindPlayer, samples[KindPlayer], `[]`, ReasonMalformed, ""},
		{KindPlayer, samples[KindPlayer], `null`, ReasonMalformed, ""},
		{KindPlayer, samples[KindPlayer], `"x"`, ReasonMalformed, ""},
		{KindPlayer, samples[KindPlayer], `{}{}`, ReasonMissingField, "id"},
		{KindPlayer, samples[KindPlayer], "\ufeff" + samples[KindPlayer], ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"}`, `"variant":"b"} {}`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"}`, `"variant":"b"}x`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"}`, `"variant":"b",}`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"}`, `"variant":"b"]`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"variant":tru`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"variant" "b"`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `variant:"b"`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"variant":"b` + "\n" + `"`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"variant":"\x"`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"variant":"\u12g4"`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"variant":"\ud83d"`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"variant":"\ud83d\u0041"`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"variant":"\ude00"`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"variant":"` + "\xff" + `"`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"other":"` + "\xff" + `"`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"` + "\xff" + `":1`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"variant":"` + "\xed\xa0\x80" + `"`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"other":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), ReasonNone, ""},
		{KindPlayer, `"variant":"b"`, `"other":` + strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"other":[1,]`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"other":[1 2]`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"other":{"a":1,}`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"other":{1:1}`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"other":01`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"other":nul`, ReasonMalformed, ""},
		{KindPlayer, `"variant":"b"`, `"other":` + "\v1", ReasonMalformed, ""},

		{KindPlayer, `"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4"`, `"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8dg"`, ReasonBadID, "id"},
		{KindPlayer, `"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4"`, `"01979a6e5b1c7d409a3f2c61f0b7e8d4"`, ReasonBadID, "id"},
		{KindPlayer, `"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4"`, `"{01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4}"`, ReasonBadID, "id"},
		{KindPlayer, `"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4"`, `7`, ReasonWrongType, "id"},
		{KindPlayer, `"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4"`, `""`, ReasonMissingField, "id"},
		{KindPlayer, `"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4"`, `null`, ReasonMissingField, "id"},
		{KindPlayer, `"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4"`, `"00000000-0000-0000-0000-000000000000"`, ReasonMissingField, "id"},

		{KindPlayer, `"offer_click"`, `"completed"`, ReasonUnknownType, "type"},
		{KindPlayer, `"offer_click"`, `"Offer_Click"`, ReasonUnknownType, "type"},
		{KindPlayer, `"offer_click"`, `""`, ReasonMissingField, "type"},
		{KindPlayer, `"offer_click"`, `{"a":[]}`, ReasonWrongType, "type"},
		{KindPlayer, `"event_time":1760000012345,`, ``, ReasonMissingField, "event_time"},
		{KindPlayer, `"event_time":1760000012345`, `"event_time":0`, ReasonOutOfRange, "event_time"},
		{KindPlayer, `"event_time":1760000012345`, `"event_time":"1760000012345"`, ReasonWrongType, "event_time"},
		{KindPlayer, `"event_time":1760000012345`, `"event_time":1760000012.345`, ReasonWrongType, "event_time"},
		{KindPlayer, `"event_time":1760000012345`, `"event_time":9223372036854775808`, ReasonOutOfRange, "event_time"},
		{KindPlayer, `"event_time":1760000012345`, `"event_time":9223372036854775807`, ReasonNone, ""},
		{KindPlayer, `"ingest_time":1760000012411`, `"ingest_time":-1`, ReasonOutOfRange, "ingest_time"},
		{KindPlayer, `"p-7f3a9c1e52d84b06"`, `""`, ReasonMissingField, "player_id"},
		{KindPlayer, `"consent":7`, `"consent":8`, ReasonOutOfRange, "consent"},
		{KindPlayer, `"consent":7`, `"consent":-1`, ReasonOutOfRange, "consent"},
		{KindPlayer, `"consent":7`, `"consent":true`, ReasonWrongType, "consent"},
		{KindPlayer, `"consent":7`, `"sample_rate":0`, ReasonOutOfRange, "sample_rate"},
		{KindPlayer, `"consent":7`, `"sample_rate":1.0000001`, ReasonOutOfRange, "sample_rate"},
		{KindPlayer, `"consent":7`, `"sample_rate":1e999`, ReasonOutOfRange, "sample_rate"},
		{KindPlayer, `"consent":7`, `"sample_rate":"1"`, ReasonWrongType, "sample_rate"},
		{KindPlayer, `"consent":7`, `"synthetic":1`, ReasonWrongType, "synthetic"},
		{KindPlayer, `"consent":7`, `"schema_version":0`, ReasonOutOfRange, "schema_version"},
		{KindPlayer, `"consent":7`, `"schema_version":65536`, ReasonOutOfRange, "schema_version"},
		{KindPlayer, `"heartbeat_ms":30000`, `"heartbeat_ms":3600001`, ReasonOutOfRange, "heartbeat_ms"},
		{KindPlayer, `"variant":"b"`, `"variant":"` + long + `"`, ReasonNone, ""},
		{KindPlayer, `"variant":"b"`, `"variant":"` + long + `x"`, ReasonTooLong, "variant"},
		{KindPlayer, `"variant":"b"`, `"variant":"` + long[1:] + `é"`, ReasonTooLong, "variant"},
		{KindPlayer, `"variant":"b"`, `"variant":"` + strings.Repeat(`\u0041`, MaxTextBytes) + `"`, ReasonNone, ""},
		{KindPlayer, `"variant":"b"`, `"variant":"` + strings.Repeat(`\u0041`, MaxTextBytes+1) + `"`, ReasonTooLong, "variant"},
		{KindPlayer, `"variant":"b"`, `"other":"` + long + `x"`, ReasonNone, ""},
		{KindPlayer, `"variant":"b"`, `"other":"` + strings.Repeat("x", MaxRecordBytes) + `"`, ReasonTooLarge, ""},

		{KindLatency, `"player_id":"p-7f3a9c1e52d84b06",`, ``, ReasonNone, ""},
		{KindLatency, `"landing"`, `"page"`, ReasonUnknownEnum, "request"},
		{KindLatency, `"landing"`, `""`, ReasonMissingField, "request"},
		{KindLatency, `"hit"`, `"HIT"`, ReasonUnknownEnum, "cache"},
		{KindLatency, `"hit"`, `""`, ReasonUnknownEnum, "cache"},
		{KindLatency, `"hit"`, `null`, ReasonNone, ""},
		{KindLatency, `"ms":183.25`, `"ms":-0.5`, ReasonOutOfRange, "ms"},
		{KindLatency, `"ms":183.25`, `"ms":600000.5`, ReasonOutOfRange, "ms"},
		{KindLatency, `"ms":183.25`, `"ms":0`, ReasonNone, ""},
		{KindLatency, `"ms":183.25`, `"ms":[183.25]`, ReasonWrongType, "ms"},
		{KindLatency, `"ms":183.25`, `"ms":1.`, ReasonMalformed, ""},
		{KindLatency, `"ms":183.25,`, ``, ReasonMissingField, "ms"},
		{KindLatency, `"egress_bytes":48211`, `"egress_bytes":-1`, ReasonOutOfRange, "egress_bytes"},

		{KindCheckout, `"refunded"`, `"offer_click"`, ReasonUnknownType, "type"},
		{KindCheckout, `"player_id":"p-7f3a9c1e52d84b06",`, ``, ReasonMissingField, "player_id"},
		{KindCheckout, `"checkout_id":"co-01979a6e5b1b7a02",`, ``, ReasonMissingField, "checkout_id"},
		{KindCheckout, `"amount":4999`, `"amount":49.99`, ReasonAmountPrecision, "amount"},
		{KindCheckout, `"amount":4999`, `"amount": -0.5`, ReasonAmountPrecision, "amount"},
		{KindCheckout, `"amount":4999`, `"amount":4999.0`, ReasonNone, ""},
		{KindCheckout, `"amount":4999`, `"amount":"4999"`, ReasonWrongType, "amount"},
		{KindCheckout, `"amount":4999`, `"amount":-1`, ReasonOutOfRange, "amount"},
		{KindCheckout, `"amount":4999`, `"amount":0`, ReasonNone, ""},
		{KindCheckout, `"amount":4999`, `"amount":null`, ReasonMissingField, "amount"},
		{KindCheckout, `"EUR"`, `"EUX"`, ReasonUnknownCurrency, "currency"},
		{KindCheckout, `"EUR"`, `"eur"`, ReasonUnknownCurrency, "currency"},
		{KindCheckout, `"EUR"`, `"EURO"`, ReasonUnknownCurrency, "currency"},
		{KindCheckout, `"EUR"`, `""`, ReasonMissingField, "currency"},
		{KindCheckout, `"quantity":2`, `"quantity":4294967296`, ReasonOutOfRange, "quantity"},
		{KindCheckout, `"quantity":2`, `"quantity":0`, ReasonNone, ""},
		{KindCheckout, `"original_time":1759999912345`, `"original_time":-1`, ReasonOutOfRange, "original_time"},

		{KindSubtitle, `"stream_id":"premiere-1",`, ``, ReasonMissingField, "stream_id"},
		{KindSubtitle, `"speech_start_ms":5400120,`, ``, ReasonMissingField, "speech_start_ms"},
		{KindSubtitle, `"cue_id":8812`, `"cue_id":18446744073709551616`, ReasonOutOfRange, "cue_id"},
		{KindSubtitle, `"cue_id":8812`, `"cue_id":-1`, ReasonOutOfRange, "cue_id"},
		{KindSubtitle, `"cue_id":8812`, `"cue_id":"8812"`, ReasonWrongType, "cue_id"},
		{KindSubtitle, `"target_language":"fr"`, `"target_language":""`, ReasonMissingField, "target_language"},

		{KindDrop, `"drop_id":"drop-aurora-2025w41",`, ``, ReasonMissingField, "drop_id"},
		{KindDrop, `"creator_id":"creator-00417",`, ``, ReasonMissingField, "creator_id"},
		{KindDrop, `"name":"Aurora",`, ``, ReasonMissingField, "name"},
		{KindDrop, `"version":4`, `"version":0`, ReasonOutOfRange, "version"},
		{KindDrop, `"end_ms":1760172800000`, `"end_ms":1760000000000`, ReasonDropTimes, "end_ms"},
		{KindDrop, `"end_ms":1760172800000,`, ``, ReasonMissingField, "end_ms"},
		{KindDrop, `"bps":8500`, `"bps":8501`, ReasonSplitShares, "splits.shares"},
		{KindDrop, `"bps":8500`, `"bps":10001`, ReasonOutOfRange, "splits.shares.bps"},
		{KindDrop, `"participant":"platform"`, `"participant":7`, ReasonWrongType, "splits.shares.participant"},
		{KindDrop, `"participant":"platform",`, ``, ReasonMissingField, "splits.shares.participant"},
		{KindDrop, `{"participant":"platform","bps":1500}`, `null`, ReasonWrongType, "splits.shares"},
		{KindDrop, `{"version":2,"shares":[{"participant":"creator-00417","bps":10000}]}`, `{"version":2}`, ReasonSplitShares, "splits.shares"},
		{KindDrop, `{"version":2,`, `{"version":0,`, ReasonOutOfRange, "splits.version"},
		{KindDrop, `"items":[`, `"items":{},"x":[`, ReasonWrongType, "items"},
		{KindDrop, `"items":[`, `"items":null,"x":[`, ReasonNone, ""},
		{KindDrop, `"price":900,"currency":"EUR"`, `"price":9.5,"currency":"EUR"`, ReasonAmountPrecision, "items.price"},
		{KindDrop, `"price":900,"currency":"EUR"`, `"price":900,"currency":"ZZZ"`, ReasonUnknownCurrency, "items.currency"},
		{KindDrop, `"price":900,"currency":"EUR"`, `"price":900`, ReasonMissingField, "items.currency"},
		{KindDrop, `"budget_currency":"EUR"`, `"budget_currency":"€"`, ReasonUnknownCurrency, "budget_currency"},
		{KindDrop, `"budget_currency":"EUR"`, `"budget_currency":""`, ReasonNone, ""},
		{KindDrop, `"salt":"v1"`, `"salt":""`, ReasonMissingField, "experiments.salt"},
		{KindDrop, `{"name":"a","bps":5000}`, `{"name":"a","bps":-1}`, ReasonOutOfRange, "experiments.variants.bps"},

		{KindFeatures, `"sessions":[1,2,5,9]`, `"sessions":[1,2,5]`, ReasonWrongType, "sessions"},
		{KindFeatures, `"sessions":[1,2,5,9]`, `"sessions":[1,2,5,9,9]`, ReasonWrongType, "sessions"},
		{KindFeatures, `"sessions":[1,2,5,9]`, `"sessions":[]`, ReasonWrongType, "sessions"},
		{KindFeatures, `"sessions":[1,2,5,9]`, `"sessions":[1,2,5,4294967296]`, ReasonOutOfRange, "sessions"},
		{KindFeatures, `"sessions":[1,2,5,9]`, `"sessions":[1,2,5,null]`, ReasonWrongType, "sessions"},
		{KindFeatures, `"sessions":[1,2,5,9]`, `"sessions":[1,2 5,9]`, ReasonMalformed, ""},
		{KindFeatures, `"sessions":[1,2,5,9]`, `"sessions":null`, ReasonNone, ""},
		{KindFeatures, `"latency_mean_ms":[181.5,190.25,-1,-1]`, `"latency_mean_ms":[181.5,"x",-1,-1]`, ReasonWrongType, "latency_mean_ms"},
		{KindFeatures, `"maturity":"provisional"`, `"maturity":"done"`, ReasonUnknownEnum, "maturity"},
		{KindFeatures, `"revision":12,`, ``, ReasonMissingField, "revision"},
		{KindDrop, `"inventory":500`, `"inventory":-500`, ReasonOutOfRange, "items.inventory"},
		{KindVelocity, `"partition":7`, `"partition":2147483648`, ReasonOutOfRange, "partition"},
		{KindVelocity, `{"panes":3,"count":6}`, `{"panes":3,"count":-6}`, ReasonOutOfRange, "time_to_convert.count"},
		{KindDeadLetter, `"amount_precision"`, `"whatever"`, ReasonUnknownEnum, "class"},
		{KindDeadLetter, `"cC03ZjNh"`, `"cC03ZjN"`, ReasonWrongType, "key"},
		{KindDeadLetter, `"cC03ZjNh"`, `"cC03\nZjNh"`, ReasonWrongType, "key"},
		{KindDeadLetter, `"cC03ZjNh"`, `"\u0063C03ZjNh"`, ReasonNone, ""},
		{KindLate, `"value":"eyJpZCI6IjAifQ=="`, `"value":"eyJpZCI6IjAifR=="`, ReasonWrongType, "value"},
	} {
		name := fmt.Sprintf("%s/%.60s", c.kind, c.new)
		if !strings.Contains(samples[c.kind], c.old) {
			t.Errorf("%s: the sample has no %s", name, c.old)
			continue
		}
		data := strings.Replace(samples[c.kind], c.old, c.new, 1)
		err := newDestination(c.kind).decode(new(Decoder), []byte(data))
		switch {
		case c.reason == ReasonNone && err != nil:
			t.Errorf("%s: %v, want it accepted", name, err)
		case c.reason != ReasonNone && (err == nil || err.Reason != c.reason || err.Field != c.field):
			t.Errorf("%s: %v, want %v: %s", name, err, c.reason, c.field)
		}
	}
}

func TestOnlyRawKindsDecodeAsEvents(t *testing.T) {
	for _, kind := range append(Kinds(), KindUnknown, 200) {
		err := new(Decoder).Decode(kind, []byte(samples[kind]), new(Event))
		if (err == nil) != kind.Raw() {
			t.Errorf("%v: %v", kind, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	data := []byte(strings.Replace(samples[KindCheckout], `4999`, `49.99`, 1))
	err := new(Decoder).Decode(KindCheckout, data, new(Event))
	want := fmt.Sprintf("amount_precision: amount at byte %d", strings.Index(string(data), "49.99"))
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	err = new(Decoder).Decode(KindCheckout, []byte(`{]`), new(Event))
	if want := "malformed at byte 1"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

package event

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// checkoutJSON is a realistic record, in the encoder's order.
const checkoutJSON = `{"id":"01979a6e-5b1c-7d40-9a3f-2c61f0b7e8d4","type":"completed","event_time":1760000012345,` +
	`"ingest_time":1760000012411,"player_id":"p-7f3a9c1e52d84b06","session_id":"s-01979a6e4f0275c1","drop_id":"drop-aurora-2025w41",` +
	`"creator_id":"creator-00417","region":"DE","pop":"fra2","language":"de-DE","consent":7,"sample_rate":0.25,` +
	`"checkout_id":"co-01979a6e5b1b7a02","amount":4999,"currency":"EUR","sku":"aurora-print-signed-a2","quantity":2,"split_version":3,` +
	`"original_time":1759999912345,"channel":"app","reason":"customer request within 14 days"}`

// stdlibCheckout has the fields of a checkout record for encoding/json.
type stdlibCheckout struct {
	ID            uuid.UUID `json:"id"`
	Type          string    `json:"type"`
	EventTime     int64     `json:"event_time"`
	IngestTime    int64     `json:"ingest_time"`
	PlayerID      string    `json:"player_id"`
	SessionID     string    `json:"session_id"`
	DropID        string    `json:"drop_id"`
	CreatorID     string    `json:"creator_id"`
	Region        string    `json:"region"`
	POP           string    `json:"pop"`
	Language      string    `json:"language"`
	Consent       uint8     `json:"consent"`
	SampleRate    float64   `json:"sample_rate"`
	Synthetic     bool      `json:"synthetic"`
	SchemaVersion uint16    `json:"schema_version"`
	CheckoutID    string    `json:"checkout_id"`
	Amount        int64     `json:"amount"`
	Currency      string    `json:"currency"`
	SKU           string    `json:"sku"`
	Quantity      uint32    `json:"quantity"`
	SplitVersion  uint32    `json:"split_version"`
	OriginalTime  int64     `json:"original_time"`
	Channel       string    `json:"channel"`
	Reason        string    `json:"reason"`
}

func BenchmarkDecodeCheckout(b *testing.B) {
	data := []byte(checkoutJSON)
	var d Decoder
	var ev Event
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(KindCheckout, data, &ev); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeCheckoutStdlib(b *testing.B) {
	data := []byte(checkoutJSON)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var ev stdlibCheckout
		if err := json.Unmarshal(data, &ev); err != nil {
			b.Fatal(err)
		}
	}
}

// Every kind in the encoder's order, and a checkout as other writers send it.
func BenchmarkDecode(b *testing.B) {
	for _, kind := range Kinds() {
		b.Run(kind.String(), func(b *testing.B) { benchmarkDecode(b, kind, samples[kind]) })
	}
	b.Run("checkout-spaced", func(b *testing.B) {
		benchmarkDecode(b, KindCheckout, strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(checkoutJSON))
	})
	b.Run("checkout-sorted", func(b *testing.B) {
		var v map[string]any
		if err := json.Unmarshal([]byte(checkoutJSON), &v); err != nil {
			b.Fatal(err)
		}
		data, err := json.Marshal(v)
		if err != nil {
			b.Fatal(err)
		}
		benchmarkDecode(b, KindCheckout, string(data))
	})
}

func benchmarkDecode(b *testing.B, kind Kind, sample string) {
	to, data := newDestination(kind), []byte(sample)
	var d Decoder
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := to.decode(&d, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendCheckout(b *testing.B) {
	var d Decoder
	var ev Event
	if err := d.Decode(KindCheckout, []byte(checkoutJSON), &ev); err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.SetBytes(int64(len(checkoutJSON)))
	b.ReportAllocs()
	for b.Loop() {
		dst = Append(dst[:0], &ev)
	}
}

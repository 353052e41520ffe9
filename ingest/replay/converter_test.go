package replay

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// cents mends checkouts whose client wrote major units, and whose currency was lower case.
const cents = `name: cents
kind: checkout
format: {type: jsonl}
lookups:
  - {file: currencies.csv, key: name, from: currency, value: iso, required: true}
skip_when:
  - {column: synthetic, equals: "true"}
fields:
  type: {from: type}
  event_time: {from: event_time}
  player_id: {from: player_id}
  checkout_id: {from: checkout_id}
  currency: {from: iso}
  amount: {from: amount, as: decimal-to-minor}
`

func TestConverter(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "currencies.csv"), []byte("name,iso\nusd,USD\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mapping, err := Parse("cents.yaml", []byte(cents))
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConverter(mapping, filepath.Join(dir, "cents.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const bad = `{"type":"completed","event_time":1726833658880,"player_id":"ann","checkout_id":"x","amount":"49.99","currency":"usd"}`
	var decoder event.Decoder
	var ev event.Event
	convert := func(source string, number uint64, record string) event.Event {
		t.Helper()
		value, err := c.Convert(source, number, []byte(record))
		if err != nil {
			t.Fatal(err)
		}
		if err := decoder.Decode(event.KindCheckout, value, &ev); err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		return ev
	}
	first := convert("cents/checkout/1", 17, bad)
	if first.Checkout.Amount != 4999 || first.Checkout.Currency != "USD" || first.PlayerID != "ann" || first.IngestTime != first.EventTime {
		t.Errorf("%+v", first)
	}
	if again := convert("cents/checkout/1", 17, bad); again.ID != first.ID {
		t.Error("the same record has another id")
	}
	if other := convert("cents/checkout/1", 18, bad); other.ID == first.ID {
		t.Error("another record has the same id")
	}
	for record, want := range map[string]string{
		`{"type":`:                                         "json: ",
		strings.Replace(bad, "usd", "eur", 1):              "no_match: ",
		strings.Replace(bad, "49.99", "49.999", 1):         "amount_precision of amount: ",
		strings.Replace(bad, `"ann"`, `""`, 1):             "missing_field of player_id: ",
		strings.Replace(bad, "{", `{"synthetic":true,`, 1): ErrSkipped.Error(),
		strings.Replace(bad, "completed", "bought", 1):     "unknown_type of type: ",
	} {
		_, err := c.Convert("s", 1, []byte(record))
		var refused *RefusedError
		if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.As(err, &refused) && err != ErrSkipped {
			t.Errorf("%s: got %v, want %s", record, err, want)
		}
	}

	files, err := Builtin("cdnow")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewConverter(files, "cdnow.yaml"); err == nil || !strings.Contains(err.Error(), "jsonl") {
		t.Errorf("a mapping of tables: %v", err)
	}
	if _, err := NewConverter(mapping, "elsewhere/cents.yaml"); err == nil || !strings.Contains(err.Error(), "currencies.csv") {
		t.Errorf("without its lookup: %v", err)
	}
}

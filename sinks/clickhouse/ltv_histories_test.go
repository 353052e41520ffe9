package clickhouse

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/event"
)

// buy is a checkout with an id of its own.
func buy(id, player string, at, amount int64) event.Event {
	ev := checkout(event.CheckoutCompleted, player, at, amount)
	ev.Checkout.CheckoutID = id
	return ev
}

// giveBack refunds part of a purchase.
func giveBack(of event.Event, at, amount int64) event.Event {
	ev := of
	ev.Type, ev.EventTime, ev.IngestTime = event.CheckoutRefunded, at, at
	ev.Checkout.OriginalTime, ev.Checkout.Amount = of.EventTime, amount
	return ev
}

// historiesOf is the answer of a named query without its last columns, first_purchase and as_of, as text by player.
func historiesOf(t *testing.T, c *Client, name string, params Params) map[string]string {
	t.Helper()
	table, err := c.Query(t.Context(), name, params)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, row := range table.Rows {
		var cells []string
		for _, v := range row[1 : len(row)-2] {
			if p, ok := v.(*float64); ok {
				v = "-"
				if p != nil {
					v = *p
				}
			}
			if f, ok := v.(float64); ok {
				v = strconv.FormatFloat(f, 'f', 4, 64)
			}
			cells = append(cells, fmt.Sprint(v))
		}
		out[row[0].(string)] = strings.Join(cells, " ")
	}
	return out
}

func wantRows(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for player, row := range want {
		if got[player] != row {
			t.Errorf("%s: %s has %q, want %q", what, player, got[player], row)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d players, want %d: %v", what, len(got), len(want), got)
	}
}

// TestHistories holds the rules of a history: same-day purchases are one, the first day is left out, refunds known by then
// are taken off, a purchase given back whole is none, another currency and creator are others, and later ones are for the hold-out.
func TestHistories(t *testing.T) {
	c := open(t)
	asOf := monday + 4*week
	whole, part, late := buy("b3", "b", monday+2*week, 900), buy("b2", "b", monday+week, 800), buy("b4", "b", monday+3*week, 500)
	foreign, other := buy("a5", "a", monday+3*week, 7777), buy("d1", "d", monday, 100)
	foreign.Checkout.Currency, other.CreatorID = "EUR", "creator-2"
	first := buy("e1", "e", monday, 600)
	writeAll(t, newTestLoader(t, newSink(t, c), event.KindCheckout, 0), records(0,
		buy("a1", "a", monday+1000, 100), buy("a2", "a", monday+2000, 100), // one first day
		buy("a3", "a", monday+week, 300), buy("a4", "a", monday+week+5000, 200), foreign,
		buy("a6", "a", asOf-1000, 0), // a free one, just before
		buy("a7", "a", asOf+day, 300), buy("a8", "a", asOf+day+1, 300), buy("a9", "a", asOf+3*week, 100),
		buy("b1", "b", monday, 100), part, whole, late,
		giveBack(part, monday+week+day, 300), giveBack(whole, monday+3*week, 900),
		giveBack(late, asOf+1, 500), // not known yet
		buy("c1", "c", asOf-day, 100),
		other,
		first, giveBack(first, monday+day, 600), buy("e2", "e", monday+2*week, 700),
		buy("f1", "f", asOf, 100), // not yet a buyer
	))
	params := Params{"currency": "USD", "as_of_ms": asOf, "until_ms": asOf + 2*week}
	wantRows(t, "histories", historiesOf(t, c, "ltv_histories", params), map[string]string{
		"a": "2 3.8571 3.8571 250.0000 1", // t_x: the 27th day, which is also the last one before
		"b": "2 3.0000 3.8571 500.0000 0",
		"c": "0 0.0000 0.0000 - 0",
		"d": "0 0.0000 3.8571 - 0",
		"e": "0 0.0000 1.8571 - 0", // the first one that was kept
	})
	params["creator"] = "creator-2"
	wantRows(t, "histories of one creator", historiesOf(t, c, "ltv_histories", params), map[string]string{"d": "0 0.0000 3.8571 - 0"})
	wantRows(t, "histories in another currency", historiesOf(t, c, "ltv_histories", Params{"currency": "EUR", "as_of_ms": asOf}), map[string]string{"a": "0 0.0000 0.8571 - 0"})
	// A month later the refund of b4 is known, and f has become one.
	wantRows(t, "histories later", historiesOf(t, c, "ltv_histories", Params{"currency": "USD", "as_of_ms": asOf + 4*week}), map[string]string{
		"a": "4 7.0000 7.8571 300.0000 0", "b": "1 1.0000 7.8571 500.0000 0", "c": "0 0.0000 4.0000 - 0",
		"d": "0 0.0000 7.8571 - 0", "e": "0 0.0000 5.8571 - 0", "f": "0 0.0000 3.8571 - 0",
	})
}

const one, two = "creator-1", "creator-2"

func inWeek(n int64) int64 { return monday + n*week }

// storeDrops stores seven drops of two creators, the last of them yet to come.
func storeDrops(t *testing.T, s *Sink) {
	t.Helper()
	drop := func(id, creator string, starts, ends int64) event.Event {
		ev := event.Event{Kind: event.KindDrop}
		ev.Type, ev.DropID, ev.CreatorID, ev.EventTime, ev.IngestTime = event.Catalogue, id, creator, monday, monday
		ev.Drop = event.Drop{Name: id, Version: 1, StartMS: starts, EndMS: ends}
		return ev
	}
	at := inWeek
	writeAll(t, newTestLoader(t, s, event.KindDrop, 0), records(0,
		drop("d0", one, at(0), at(0)+day),
		drop("d1", two, at(0)+day/2, at(0)+2*day), // overlaps d0
		drop("d2", one, at(1), at(1)+day),
		drop("d3", two, at(2), at(2)+day),
		drop("d4", one, at(3), at(3)+2*day),
		drop("d5", two, at(4), at(4)+day),
		drop("d6", one, at(9), at(9)+day),
	))
}

func in(ev event.Event, drop, creator string) event.Event {
	ev.DropID, ev.CreatorID = drop, creator
	return ev
}

// TestOpportunities holds the rules of eligible drops: they end after the first purchase, the drop of that is none, they count when they have ended, in the order of their starts.
func TestOpportunities(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	storeDrops(t, s)
	at := inWeek
	asOf := at(3) + day // d4 is not over
	gone := in(buy("a4", "a", at(2)+5, 400), "d3", two)
	writeAll(t, newTestLoader(t, s, event.KindCheckout, 0), records(0,
		in(buy("a1", "a", at(0)+1000, 100), "d0", one), in(buy("a2", "a", at(0)+2000, 100), "d0", one),
		in(buy("a3", "a", at(1)+5, 200), "d2", one), in(buy("a3b", "a", at(1)+6, 50), "d2", one),
		gone, giveBack(gone, at(3), 400),
		in(buy("a5", "a", at(3)+5, 500), "d4", one), in(buy("a6", "a", at(4)+5, 600), "d5", two), in(buy("a7", "a", at(9)+5, 1), "d6", one),
		// b came when d0 was over and bought in the drop that overlapped it: d0 is no opportunity.
		in(buy("b1", "b", at(0)+day+1, 100), "d1", two), in(buy("b2", "b", at(2)+1, 300), "d3", two),
		// c's first is in a drop still open, d's only one in none that the catalogue knows.
		in(buy("c1", "c", at(3)+9, 100), "d4", one), in(buy("d1", "d", at(1), 100), "unknown", one),
		in(buy("e1", "e", asOf+9, 100), "d4", one),
		in(buy("f1", "f", at(0)+day-1, 100), "d1", two), // d0 can still be bought from, and comes before d1
		in(buy("f2", "f", at(0)+day-1+5, 100), "d0", one),
	))
	params := Params{"currency": "USD", "as_of_ms": asOf, "until_ms": at(5)}
	wantRows(t, "opportunities", historiesOf(t, c, "ltv_opportunities", params), map[string]string{
		"a": "1 2 3 250.0000 2 2", // d1 d2 d3; the purchase in d3 was given back; d4 and d5 to come
		"b": "1 2 2 300.0000 2 0",
		"c": "0 0 0 - 1 0",
		"f": "1 1 3 100.0000 2 0",
	})
	params["creator"] = one
	wantRows(t, "opportunities of one creator", historiesOf(t, c, "ltv_opportunities", params), map[string]string{
		"a": "1 1 1 250.0000 1 1",
		"c": "0 0 0 - 0 0",
		"f": "0 0 1 - 1 0",
	})
}

// TestPredicted holds predictions beside what the window that they are about brought, and nothing before that is over.
func TestPredicted(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	storeDrops(t, s)
	at := inWeek
	asOf := at(3) + day
	back := in(buy("a5", "a", at(4)+6, 600), "d5", two)
	writeAll(t, newTestLoader(t, s, event.KindCheckout, 0), records(0,
		in(buy("a1", "a", at(0)+1000, 100), "d0", one), in(buy("a2", "a", at(1)+5, 200), "d2", one),
		in(buy("a3", "a", at(3)+5, 400), "d4", one), // before the fit, in a drop that the fit took as one to come
		in(buy("a4", "a", at(4)+5, 500), "d5", two), back, giveBack(back, at(5), 600),
		in(buy("b1", "b", at(1)+5, 1000), "d2", one), in(buy("b2", "b", at(3)+day+5, 300), "d4", one), in(buy("b3", "b", at(9)+5, 7), "d6", one),
		in(buy("c1", "c", at(3)+9, 50), "d4", one), in(buy("c2", "c", at(4)+9, 60), "d5", two), // the drop of the first purchase is none to come
	))
	predict := func(model, player string, first int64, repeats uint32, age, horizon float64) event.Record {
		l := event.Lifetime{Model: model, Fit: model + "-1", PlayerID: player, Currency: "USD", Revision: 7, AsOf: asOf, FirstPurchase: first,
			Repeats: repeats, LastRepeat: float64(repeats), Age: age, Horizon: horizon, PAlive: 0.5, Purchases: 1.25, MeanSpend: 400, Value: 500}
		if model == "bgnbd" && repeats == 0 {
			l.PAlive = 1
		}
		return event.Record{Kind: event.KindLifetime, Timestamp: asOf, Value: l.AppendJSON(nil)}
	}
	predictions := []event.Record{
		predict("bgbb", "a", at(0)+1000, 1, 3, 2), predict("bgbb", "b", at(1)+5, 0, 1, 2), predict("bgbb", "c", at(3)+9, 0, 0, 2),
		predict("bgnbd", "a", at(0)+1000, 2, 3.14, 1.5), predict("bgnbd", "b", at(1)+5, 0, 2.14, 1.5), predict("bgnbd", "c", at(3)+9, 0, .14, 1.5),
	}
	for i := range predictions {
		predictions[i].Offset = int64(i)
	}
	writeAll(t, newTestLoader(t, s, event.KindLifetime, 0), predictions)

	for _, tt := range []struct {
		model, by string
		watermark int64
		want      string
	}{
		// Two drops to come: d4 and d5 for a and b, d5 and d6 for c, whose first purchase was in d4.
		{"bgbb", "week", at(10), "2025-W36 3 1 1 300 0.5 1.25 500 true 2 900; 2025-W37 1 1 0 1000 0.5 1.25 500 true 1 300; 2025-W39 0 1 0 50 0.5 1.25 500 true 1 60"},
		{"bgbb", "week", at(9), "2025-W36 3 1 1 300 0.5 1.25 500 true 2 900; 2025-W37 1 1 0 1000 0.5 1.25 500 true 1 300; 2025-W39 0 1 0 50 0.5 1.25 500 false - -"},
		{"bgbb", "x", at(10), "x = 0 - 2 0 1050 0.5 2.5 1000 true 2 360; x = 1 - 1 1 300 0.5 1.25 500 true 2 900"},
		{"bgbb", "month", at(4) + day, "2025-09 0 1 0 50 0.5 1.25 500 false - -; 2025-09 1 1 0 1000 0.5 1.25 500 true 1 300; 2025-09 3 1 1 300 0.5 1.25 500 true 2 900"},
		{"bgbb", "month", at(4) + day - 1, "2025-09 0 1 0 50 0.5 1.25 500 false - -; 2025-09 1 1 0 1000 0.5 1.25 500 false - -; 2025-09 3 1 1 300 0.5 1.25 500 false - -"},
		// A week and a half: the purchases in d5, and b's in d4 a moment after the fit.
		{"bgnbd", "week", asOf + week + week/2, "2025-W36 3 1 2 700 0.5 1.25 500 true 1 500; 2025-W37 2 1 0 1000 - 1.25 500 true 1 300; 2025-W39 0 1 0 50 - 1.25 500 true 1 60"},
		{"bgnbd", "x", asOf + week + week/2 - 1, "x = 0 - 2 0 1050 - 2.5 1000 false - -; x = 2 - 1 2 700 0.5 1.25 500 false - -"},
	} {
		table, err := c.Query(t.Context(), "ltv_predicted", Params{"model": tt.model, "currency": "USD", "by": tt.by, "watermark_ms": tt.watermark})
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, row := range table.Rows {
			var cells []string
			for i, v := range row {
				switch table.Columns[i] {
				case "fit", "horizon", "as_of", "watermark":
					continue
				}
				if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer {
					if v = "-"; !p.IsNil() {
						v = p.Elem().Interface()
					}
				}
				if b, ok := v.(uint8); ok && table.Columns[i] == "mature" {
					v = b != 0
				}
				cells = append(cells, fmt.Sprint(v))
			}
			rows = append(rows, strings.Join(cells, " "))
		}
		if got := strings.Join(rows, "; "); got != tt.want {
			t.Errorf("%s by %s:\n got %s\nwant %s", tt.model, tt.by, got, tt.want)
		}
	}
}

// TestCDNOWHistories replays the sample's purchases and must find every customer's published summary, to the cents and
// hundredths of a week that it is rounded to, and the purchases of the 39 weeks after.
func TestCDNOWHistories(t *testing.T) {
	folder := filepath.Join("..", "..", "..", "shared", "data", "cdnow")
	text, err := os.ReadFile(filepath.Join(folder, "CDNOW_sample.txt"))
	if err != nil {
		t.Skip(err)
	}
	var purchases []event.Event
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		fields := strings.Fields(line)
		at, err := time.Parse("20060102", fields[2])
		if err != nil {
			t.Fatal(err)
		}
		dollars, err := strconv.ParseFloat(fields[4], 64)
		if err != nil {
			t.Fatal(err)
		}
		customer, err := strconv.Atoi(fields[1])
		if err != nil {
			t.Fatal(err)
		}
		purchases = append(purchases, buy(strconv.Itoa(i), strconv.Itoa(customer), at.UnixMilli(), int64(math.Round(dollars*100))))
	}
	c := open(t)
	writeAll(t, newTestLoader(t, newSink(t, c), event.KindCheckout, 0), records(0, purchases...))
	table, err := c.Query(t.Context(), "ltv_histories", Params{"currency": "USD",
		"as_of_ms": time.Date(1997, 10, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), "until_ms": time.Date(1998, 7, 1, 0, 0, 0, 0, time.UTC).UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}

	file, err := os.Open(filepath.Join(folder, "cdnow_customers_summary_with_transactions.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	published, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for _, row := range published[1:] {
		want[row[0]] = row[1:]
	}
	if len(table.Rows) != 2357 || len(want) != 2357 {
		t.Fatalf("%d customers stored, %d published, want 2357", len(table.Rows), len(want))
	}
	repeats, recency, age, later := int64(0), 0.0, 0.0, int64(0)
	for _, row := range table.Rows {
		x, tx, T := row[1].(int64), row[2].(float64), row[3].(float64)
		m := 0.0
		if p := row[4].(*float64); p != nil {
			m = *p / 100
		}
		for i, got := range []float64{float64(x), tx, T, m} {
			published, err := strconv.ParseFloat(want[row[0].(string)][i], 64)
			if err != nil || math.Abs(got-published) > .005001 {
				t.Errorf("customer %s: %s is %v, published %v (%v)", row[0], table.Columns[1+i], got, published, err)
			}
		}
		repeats, recency, age, later = repeats+x, recency+tx, age+T, later+row[5].(int64)
	}
	if got := fmt.Sprintf("%d %.4f %.4f %d", repeats, recency, age, later); got != "2457 16135.5714 77111.2857 1882" {
		t.Errorf("totals of x, t_x, T and later: %s", got)
	}
}

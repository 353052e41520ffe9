package clickhouse

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// storeDerived writes records of one kind at offsets from 0.
func storeDerived(t testing.TB, c *Client, kind event.Kind, at int64, values ...[]byte) {
	t.Helper()
	var rs []event.Record
	for i, value := range values {
		rs = append(rs, event.Record{Kind: kind, Offset: int64(i), Timestamp: at, Value: value})
	}
	writeAll(t, newTestLoader(t, newSink(t, c), kind, 0), rs)
}

// storeStock writes a limited item of drop-1 for the test of all queries: half of it sold, one of two promises late.
func storeStock(t testing.TB, c *Client, at int64) {
	t.Helper()
	v := event.Inventory{DropID: "drop-1", SKU: "jacket", Channel: "pos", Partner: "shop", PaneStart: at, PaneMS: 10_000, Revision: 1, Watermark: at + minute,
		Maturity: event.Provisional, Sold: 5, Checkouts: 5, Promised: 2, Fulfilled: 1, Due: 2, Late: 1}
	storeDerived(t, c, event.KindInventory, at, v.AppendJSON(nil))
	e := event.Estimate{DropID: "drop-1", Metric: "inventory_remaining", Dimensions: []event.Dimension{{Name: "sku", Value: "jacket"}}, Revision: 1, AsOf: at,
		From: at, To: at + 2*day, Unit: "pieces", N: 10, Numerator: 5, Enough: true, Value: 5, Low: 5, High: 5, Confidence: 1, P: -1, SampleRate: 1,
		Details: []event.Detail{{Name: "sold", Value: 5}, {Name: "inventory", Value: 10}}}
	storeDerived(t, c, event.KindEstimate, at, e.AppendJSON(nil))
}

func near(t *testing.T, what string, got any, want float64) {
	t.Helper()
	if p, ok := got.(*float64); ok && p != nil {
		got = *p
	}
	if n, ok := got.(float64); !ok || math.Abs(n-want) > 5e-5 {
		t.Errorf("%s: %v, want %.5f", what, got, want)
	}
}

// TestTimeToConvert is DOMAIN 2.2's example: (min, event) (2,1)(3,0)(5,1)(5,1)(5,0)(8,0)(9,1)(12,0)×3. What censors the
// six is that the drop's only item is sold out; visitors of the empty shop come after it.
func TestTimeToConvert(t *testing.T) {
	c := open(t)
	start := monday + 10*60*minute
	soldOut := start + 30*minute
	cut := soldOut - 10_000
	drop := event.Event{Kind: event.KindDrop}
	drop.Type, drop.EventTime, drop.DropID, drop.CreatorID = event.Catalogue, monday, "d", "c"
	drop.Drop = event.Drop{Name: "d", Version: 1, StartMS: start, EndMS: start + day, Items: []event.Item{{SKU: "print", Price: 1, Currency: "EUR", Inventory: 3}}}
	writeAll(t, newTestLoader(t, newSink(t, c), event.KindDrop, 0), records(0, drop))

	watermark := soldOut + 30*minute
	var panes [][]byte
	const perMinute = 6
	pane := func(at int64, landed uint32, converted ...event.TimeToConvert) {
		v := event.Velocity{DropID: "d", POP: "fra", PaneStart: at, PaneMS: 10_000, Revision: 1, Watermark: watermark,
			Players: [5]uint32{landed}, TimeToConvert: converted}
		panes = append(panes, v.AppendJSON(nil))
	}
	pane(cut-12*minute, 4+3) // the four who buy, and three who watch for 12 min
	pane(cut-10*minute, 0, event.TimeToConvert{Panes: 2 * perMinute, Count: 1})
	pane(cut-8*minute, 1)
	pane(cut-7*minute, 0, event.TimeToConvert{Panes: 5 * perMinute, Count: 2})
	pane(cut-5*minute, 1)
	pane(cut-3*minute, 1, event.TimeToConvert{Panes: 9 * perMinute, Count: 1})
	pane(cut+7*minute, 5) // after the selling out
	storeDerived(t, c, event.KindVelocity, watermark, panes...)

	stock := func(partition int32, at int64, sold uint64, m event.Maturity) []byte {
		return (&event.Inventory{DropID: "d", SKU: "print", Channel: "web", Partition: partition, PaneStart: at, PaneMS: 10_000, Revision: 1,
			Watermark: watermark, Maturity: m, Sold: sold}).AppendJSON(nil)
	}
	storeDerived(t, c, event.KindInventory, watermark, stock(0, start, 2, event.Final), stock(1, cut, 1, event.Provisional), stock(1, cut+minute, 2, event.Provisional))

	table, err := c.Query(t.Context(), "time_to_convert", Params{"drop": "d"})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ minutes, s, low, high float64 }{{2, .9, .4730, .9853}, {5, .675, .2906, .8825}, {9, .50625, .1396, .7903}}
	if len(table.Rows) != 1+len(want) {
		t.Fatalf("%d rows: %v", len(table.Rows), table.Rows)
	}
	if n := fmt.Sprint(table.Rows[0][4]); n != "10" {
		t.Errorf("%s at risk, want 10", n)
	}
	for i, w := range want {
		row := table.Rows[i+1]
		near(t, "minutes", row[0], w.minutes)
		near(t, "S", 1-row[1].(float64), w.s)
		near(t, "upper end", row[2], 1-w.high)
		near(t, "lower end", row[3], 1-w.low)
	}
	near(t, "SE of S(5)", table.Rows[2][6], .155071)
	if at := lines(t, c, "SELECT drop_id, toUnixTimestamp64Milli(sold_out_at), maturity FROM sold_out_drops"); fmt.Sprint(at) != fmt.Sprintf("[d\t%d\tprovisional]", soldOut) {
		t.Errorf("sold out: %q", at)
	}

	// Ignoring it, the five are at risk too, and nobody's clock stops before the watermark.
	table, err = c.Query(t.Context(), "time_to_convert", Params{"drop": "d", "sell_out": "ignore"})
	if err != nil || fmt.Sprint(table.Rows[0][4]) != "15" {
		t.Fatalf("%v, %v", table, err)
	}
	near(t, "S(2)", 1-table.Rows[1][1].(float64), 1-1.0/15)

	// The dashboard's curve stops too.
	table, err = c.Query(t.Context(), "dashboard_time_to_convert", Params{"drop": "d", "pops": "['*']", "to": "2030-01-01 00:00:00"})
	if err != nil || len(table.Rows) != 4 || fmt.Sprint(table.Rows[0][4]) != "10" {
		t.Errorf("the dashboard: %v, %v", table, err)
	}
}

// TestFulfilment holds late rates against DOMAIN 0's Wilson intervals: 30/1000 and 0/50. What the watermark has not passed is not due.
func TestFulfilment(t *testing.T) {
	c := open(t)
	var values [][]byte
	add := func(v event.Inventory) {
		v.DropID, v.SKU, v.Channel, v.PaneMS, v.Revision = "d", "jacket", "web", 10_000, 1
		values = append(values, v.AppendJSON(nil))
	}
	passed := monday + 60*minute
	add(event.Inventory{Partner: "depot", PaneStart: monday, Watermark: passed, Maturity: event.Final, Promised: 1007, Shipped: 990, Fulfilled: 900})
	add(event.Inventory{Partner: "depot", PaneStart: monday + minute, Watermark: passed - minute, Maturity: event.Final, Due: 990, Late: 20})
	add(event.Inventory{Partner: "depot", PaneStart: passed - 9_999, Watermark: passed, Due: 10, Late: 10})
	add(event.Inventory{Partner: "depot", PaneStart: passed - 9_998, Watermark: passed, Due: 7, Late: 7})
	add(event.Inventory{Partner: "shop", Partition: 1, PaneStart: monday, Watermark: passed, Maturity: event.Final, Promised: 51, Fulfilled: 50, Cancelled: 1, Due: 50})
	add(event.Inventory{Partner: "", Partition: 1, PaneStart: monday + 1, Watermark: passed, Maturity: event.Final, Reserved: 5})
	storeDerived(t, c, event.KindInventory, passed, values...)
	table, err := c.Query(t.Context(), "fulfilment", Params{"drop": "d"})
	if err != nil || len(table.Rows) != 2 {
		t.Fatalf("%v, %v", table, err)
	}
	depot, shop := table.Rows[0], table.Rows[1]
	if got := fmt.Sprintln(depot[:7], depot[11], shop[:7], shop[11]); got != "[depot 1007 990 900 0 1000 30] provisional [shop 51 0 50 1 50 0] final\n" {
		t.Errorf("got %s", got)
	}
	near(t, "rate", depot[7], .03)
	near(t, "low", depot[8], .021094)
	near(t, "high", depot[9], .042503)
	near(t, "low of none", shop[8], 0)
	near(t, "high of none", shop[9], .071348)
	if all, err := c.Query(t.Context(), "fulfilment", nil); err != nil || len(all.Rows) != 2 {
		t.Errorf("of all drops: %v, %v", all, err)
	}
}

// TestInventoryQuery reads what a rollup says of items, and how many each channel sold.
func TestInventoryQuery(t *testing.T) {
	c := open(t)
	estimate := func(sku string, revision uint64, limit, sold uint64, details ...event.Detail) []byte {
		e := event.Estimate{DropID: "d", Metric: "inventory_remaining", Dimensions: []event.Dimension{{Name: "sku", Value: sku}}, Revision: revision,
			AsOf: monday, From: monday, To: monday + day, Unit: "pieces", N: limit, Numerator: sold, Enough: limit > 0, Value: 2, P: -1, SampleRate: 1, Details: details}
		if limit == 0 {
			e.Why = "without limit"
		}
		return e.AppendJSON(nil)
	}
	storeDerived(t, c, event.KindEstimate, monday,
		estimate("jacket", 2, 10, 8, event.Detail{Name: "sell_out_at", Value: float64(monday + minute)}, event.Detail{Name: "reserved", Value: 1}),
		estimate("jacket", 1, 10, 99),
		estimate("vip", 1, 3, 4, event.Detail{Name: "oversold", Value: 1}, event.Detail{Name: "sold_out_at", Value: float64(monday)}, event.Detail{Name: "sold_out_final", Value: 1}),
		estimate("poster", 1, 0, 7))
	var values [][]byte
	for i, channel := range []string{"web", "pos", "pos"} {
		v := event.Inventory{DropID: "d", SKU: "jacket", Channel: channel, PaneStart: monday + int64(i)*10_000, PaneMS: 10_000, Revision: 1, Watermark: monday, Sold: 2 + uint64(i)}
		values = append(values, v.AppendJSON(nil))
	}
	storeDerived(t, c, event.KindInventory, monday, values...)
	var out strings.Builder
	if err := c.StreamQuery(t.Context(), &out, "inventory", "TSV", Params{"drop": "d"}); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`jacket	10	8	2	0	7	0	1	2	0	\N	\N	2025-09-01 00:01:00.000	\N	\N		2025-09-01 00:00:00.000	provisional`,
		`poster	\N	7	0	0	0	0	0	\N	\N	\N	\N	\N	\N	\N	without limit	2025-09-01 00:00:00.000	provisional`,
		`vip	3	4	0	0	0	0	0	2	1	2025-09-01 00:00:00.000	final	\N	\N	\N		2025-09-01 00:00:00.000	provisional`,
	}, "\n") + "\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

package clickhouse

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bojanz/currency"

	"github.com/droplift/droplift/ingest/event"
)

// curve runs ltv_cohorts and returns one cohort's values by age, "-" for an immature one.
func curve(t *testing.T, c *Client, cohort string, params Params) string {
	t.Helper()
	table, err := c.Query(t.Context(), "ltv_cohorts", params)
	if err != nil {
		t.Fatal(err)
	}
	var ages []string
	for _, row := range table.Rows {
		if row[0] != cohort {
			continue
		}
		ltv, ok := row[10].(*float64)
		switch {
		case !ok:
			t.Fatalf("ltv is %T", row[10])
		case ltv == nil:
			ages = append(ages, "-")
		default:
			ages = append(ages, fmt.Sprintf("%.4f", *ltv))
		}
	}
	return strings.Join(ages, " ")
}

// TestLTV is DOMAIN 3.1's example: 1,000 members, gross by age 1500.00, 600.00 and 300.00, of which 100.00 bought at age 0
// are refunded at age 1.
func TestLTV(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	var views []event.Event
	for i := range int64(1000) {
		views = append(views, player(event.LandingView, fmt.Sprintf("p%d", i), monday+i))
	}
	late := player(event.LandingView, "next", monday+week) // the first of the next cohort
	writeAll(t, newTestLoader(t, s, event.KindPlayer, 0), records(0, append(views, late)...))
	refund := checkout(event.CheckoutRefunded, "p1", monday+1+week, 10_000)
	refund.Checkout.OriginalTime = monday + 2
	writeAll(t, newTestLoader(t, s, event.KindCheckout, 0), records(0,
		checkout(event.CheckoutCompleted, "p1", monday+2, 100_000),
		checkout(event.CheckoutCompleted, "p2", monday+2+week-1, 50_000), // the last moment of age 0
		checkout(event.CheckoutCompleted, "p3", monday+3+week, 60_000),   // the first of age 1
		checkout(event.CheckoutCompleted, "p4", monday+20_000+2*week, 30_000),
		refund))

	// Cohort week [2025-09-01, 09-08): age 2 is mature at 2025-09-29.
	mature := time.Date(2025, 9, 29, 0, 0, 0, 0, time.UTC).UnixMilli()
	for _, tt := range []struct {
		name   string
		params Params
		want   string
	}{
		{"refund-dated", Params{"watermark_ms": mature}, "1.5000 2.0000 2.3000"},
		{"purchase-dated", Params{"watermark_ms": mature, "dating": "purchase"}, "1.4000 2.0000 2.3000"},
		{"a moment too early", Params{"watermark_ms": mature - 1}, "1.5000 2.0000 -"},
		{"by the stored watermark", Params{}, "1.5000 - -"},
	} {
		tt.params["max_age"] = 2
		if got := curve(t, c, "2025-W36", tt.params); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	// The 1,001st member bought nothing and counts in the drop's cohort all the same.
	for _, cohort := range []string{"drop", "creator"} {
		got := curve(t, c, cohort+"-1", Params{"cohort": cohort, "max_age": 0, "watermark_ms": mature})
		if want := fmt.Sprintf("%.4f", 1500./1001); got != want {
			t.Errorf("by %s: %s, want %s", cohort, got, want)
		}
	}
}

// TestExchange is DOMAIN 3.1's conversion: half-even on the minor unit, at the rate of the purchase day, so that a full refund nets to 0.
func TestExchange(t *testing.T) {
	c := open(t)
	s := newSink(t, c)
	l := newTestLoader(t, s, event.KindCheckout, 0)
	next := int64(0)
	for _, tt := range []struct {
		reporting, currency, rate string
		amount                    int64
		want                      string
	}{
		{"JPY", "USD", "149.3715", 4999, "7467"},
		{"KWD", "USD", "0.30655", 4999, "15324"},
		{"USD", "USD", "", 4999, "4999"},
		{"USD", "EUR", "0.5", 1, "0"}, // .5 goes to even
		{"USD", "EUR", "0.5", 3, "2"},
		{"USD", "EUR", "0.5", 5, "2"},
		{"JPY", "KWD", "487.2", 9_223_372_036_854_775, "4493626856355646"},
		{"USD", "CLF", "38.2", 10_000, "3820"},
		{"USD", "GBP", "", 4999, "\\N"}, // no rate
	} {
		t.Run(fmt.Sprintf("%d %s at %s in %s", tt.amount, tt.currency, tt.rate, tt.reporting), func(t *testing.T) {
			exec(t, c, "TRUNCATE TABLE fx_rates", "TRUNCATE TABLE purchases",
				"INSERT INTO settings (name, value) SELECT 'reporting_currency', '"+tt.reporting+"'")
			if tt.rate != "" {
				// The rate of the refund's day must not matter, nor one of another pair.
				exec(t, c, "INSERT INTO fx_rates (date, base, quote, rate, source) VALUES ('2025-08-30', '"+tt.currency+"', '"+tt.reporting+"', "+tt.rate+", 'test'), "+
					"('2025-09-02', '"+tt.currency+"', '"+tt.reporting+"', 7, 'test'), ('2025-09-01', '"+tt.currency+"', 'SEK', 9, 'test')")
			}
			buy := checkout(event.CheckoutCompleted, "p", monday, tt.amount)
			refund := checkout(event.CheckoutRefunded, "p", monday+3*day, tt.amount)
			refund.Checkout.OriginalTime = monday
			buy.Checkout.Currency, refund.Checkout.Currency = tt.currency, tt.currency
			writeAll(t, l, records(next, buy, refund))
			next += 2
			got := lines(t, c, "SELECT amount_reporting FROM purchases FINAL ORDER BY kafka_offset")
			want := []string{tt.want, "-" + tt.want}
			if tt.want == "\\N" || tt.want == "0" {
				want[1] = tt.want
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}

	t.Run("rate loaded later", func(t *testing.T) {
		exec(t, c, "INSERT INTO fx_rates (date, base, quote, rate, source) VALUES ('2025-09-01', 'GBP', 'USD', 1.3, 'test')")
		if err := c.Rebuild(t.Context(), "checkout_events"); err != nil {
			t.Fatal(err)
		}
		got := lines(t, c, "SELECT amount_reporting, rate_source, rate_date FROM purchases FINAL WHERE currency = 'GBP' ORDER BY kafka_offset")
		if fmt.Sprint(got) != "[6499\ttest\t2025-09-01 -6499\ttest\t2025-09-01]" {
			t.Errorf("got %q", got)
		}
	})
	if err := c.Rebuild(t.Context(), "subtitle_events"); err == nil {
		t.Error("rebuilt views that are not there")
	}
}

// TestCurrencies holds the seeded ISO 4217 exponents against the library's table.
func TestCurrencies(t *testing.T) {
	c := open(t)
	var want []string
	for _, code := range currency.GetCurrencyCodes() {
		digits, _ := currency.GetDigits(code)
		want = append(want, fmt.Sprintf("%s\t%d", code, digits))
	}
	slices.Sort(want)
	got := lines(t, c, "SELECT code, exponent FROM currencies ORDER BY code")
	if len(got) < 150 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// TestWilson is DOMAIN 0's interval: 30 of 1000, and 0 of 50.
func TestWilson(t *testing.T) {
	c := open(t)
	exec(t, c, `INSERT INTO player_drops (drop_id, player_id, landing, impression, exposure)
		SELECT 'd', toString(number), now64(3), if(number < 30, now64(3), NULL), (now64(3), if(number < 1000, 1, 200), '') FROM numbers(1050)`,
		`INSERT INTO player_drops (drop_id, player_id, completed, exposure) SELECT 'd', toString(number), now64(3), (toDateTime64('2299-01-01', 3, 'UTC'), 0, '') FROM numbers(30)`)
	table, err := c.Query(t.Context(), "report_latency", Params{"drop": "d"})
	if err != nil || len(table.Rows) != 2 {
		t.Fatal(table, err)
	}
	for i, want := range [][2]float64{{0.021094, 0.042503}, {0, 0.071348}} {
		low, high := number(t, table.Rows[i][5]), number(t, table.Rows[i][6])
		if math.Abs(low-want[0]) > 1e-6 || math.Abs(high-want[1]) > 1e-6 {
			t.Errorf("[%f, %f], want %v", low, high, want)
		}
	}
}

func number(t *testing.T, v any) float64 {
	t.Helper()
	switch v := v.(type) {
	case float64:
		return v
	case *float64:
		if v != nil {
			return *v
		}
	}
	t.Fatalf("%T is no number", v)
	return 0
}

// cdnow reads 69,659 real purchases, or skips the test.
func cdnow(t *testing.T) []event.Event {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", "cdnow", "CDNOW_master.txt.gz"))
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var purchases []event.Event
	in := bufio.NewScanner(unzipped)
	in.Scan() // the header
	for in.Scan() {
		fields := strings.Fields(in.Text())
		at, err := time.Parse("20060102", fields[1])
		if err != nil {
			t.Fatal(err)
		}
		dollars, err := strconv.ParseFloat(fields[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		ev := checkout(event.CheckoutCompleted, fields[0], at.UnixMilli(), int64(math.Round(dollars*100)))
		ev.DropID, ev.CreatorID = "", ""
		purchases = append(purchases, ev)
	}
	return purchases
}

// TestCDNOW loads 69,659 real purchases and reproduces the published cohorts and curve.
func TestCDNOW(t *testing.T) {
	purchases := cdnow(t)
	c := open(t)
	l := newTestLoader(t, newSink(t, c), event.KindCheckout, 0)
	// One batch over 18 months of event time: one part.
	writeAll(t, l, records(0, purchases...))
	if got := value(t, c, "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'checkout_events' AND active"); got != "1" {
		t.Errorf("one batch became %s parts", got)
	}

	if got := value(t, c, "SELECT count(), sum(amount), uniqExact(player_id) FROM purchases FINAL"); got != "69659\t250031563\t23570" {
		t.Errorf("purchases hold %s", got)
	}
	params := Params{"cohort": "month", "age": "calendar_month", "max_age": 12}
	table, err := c.Query(t.Context(), "ltv_cohorts", params)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[any]any{}
	for _, row := range table.Rows {
		sizes[row[0]] = row[3]
	}
	if got := fmt.Sprint(sizes); got != "map[1997-01:7846 1997-02:8476 1997-03:7248]" {
		t.Errorf("cohorts %s", got)
	}
	ages := strings.Fields(curve(t, c, "1997-01", params))
	if got := []string{ages[0], ages[3], ages[6], ages[12]}; fmt.Sprint(got) != "[38.1163 57.5377 71.6062 95.7529]" {
		t.Errorf("LTV %v", got)
	}
}

// TestCDNOWWithRefunds simulates refunds on top of the real purchases, one in eight of them, full or in part, up to half a
// year later, and holds every cell of the cohort tables to the cent against books kept beside: refund-dated, where money
// goes back when it did, and purchase-dated, where the past is restated.
func TestCDNOWWithRefunds(t *testing.T) {
	purchases := cdnow(t)
	const seed = 4
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	events := slices.Clone(purchases)
	for i := range purchases {
		p := &purchases[i]
		if rng.IntN(8) != 0 || p.Checkout.Amount == 0 {
			continue
		}
		refund := *p
		refund.Type, refund.Checkout.OriginalTime = event.CheckoutRefunded, p.EventTime
		refund.EventTime += day/2 + rng.Int64N(180*day)
		refund.IngestTime = refund.EventTime
		if rng.IntN(3) == 0 {
			refund.Checkout.Amount = 1 + rng.Int64N(p.Checkout.Amount)
		}
		if rng.IntN(20) == 0 {
			refund.Type = event.CheckoutChargeback
		}
		events = append(events, refund)
	}
	c := open(t)
	l := newTestLoader(t, newSink(t, c), event.KindCheckout, 0)
	writeAll(t, l, records(0, events...))

	acquired := map[string]int64{}
	for i := range purchases {
		p := &purchases[i]
		if at, ok := acquired[p.PlayerID]; !ok || p.EventTime < at {
			acquired[p.PlayerID] = p.EventTime
		}
	}
	month := func(ms int64) int64 {
		at := time.UnixMilli(ms).UTC()
		return int64(at.Year())*12 + int64(at.Month()) - 1
	}
	const ages, period = 12, 28 * day
	type money struct{ gross, refunds, chargebacks int64 }
	for _, dating := range []string{"refund", "purchase"} {
		for _, age := range []string{"calendar_month", "member"} {
			books := map[string]*[ages + 1]money{}
			for i := range events {
				ev := &events[i]
				moment := ev.EventTime
				if dating == "purchase" && ev.Type != event.CheckoutCompleted {
					moment = ev.Checkout.OriginalTime
				}
				from := acquired[ev.PlayerID]
				a := (moment - from) / period
				if age == "calendar_month" {
					a = month(moment) - month(from)
				}
				cohort := time.UnixMilli(from).UTC().Format("2006-01")
				if books[cohort] == nil {
					books[cohort] = &[ages + 1]money{}
				}
				for ; a <= ages; a++ {
					cell := &books[cohort][a]
					switch ev.Type {
					case event.CheckoutCompleted:
						cell.gross += ev.Checkout.Amount
					case event.CheckoutRefunded:
						cell.refunds += ev.Checkout.Amount
					default:
						cell.chargebacks += ev.Checkout.Amount
					}
				}
			}
			table, err := c.Query(t.Context(), "ltv_cohorts", Params{"cohort": "month", "dating": dating, "age": age, "period_ms": period, "max_age": ages})
			if err != nil {
				t.Fatal(err)
			}
			if len(table.Rows) != 3*(ages+1) {
				t.Errorf("%s-dated by %s: %d cells", dating, age, len(table.Rows))
			}
			back := int64(0)
			for _, row := range table.Rows {
				want := books[row[0].(string)][row[4].(int64)]
				got := money{cents(t, row[6]), cents(t, row[7]), cents(t, row[8])}
				if net := cents(t, row[9]); got != want || net != want.gross-want.refunds-want.chargebacks {
					t.Errorf("%s-dated by %s, cohort %v at age %v: %+v, net %d; the books say %+v", dating, age, row[0], row[4], got, net, want)
				}
				back = max(back, got.refunds)
			}
			if back < 1_000_000 {
				t.Errorf("%s-dated by %s: only %d cents of refunds in any cell", dating, age, back)
			}
			t.Logf("%s-dated by %s: %d cells to the cent", dating, age, len(table.Rows))
		}
	}
	if got := value(t, c, "SELECT sum(amount) FROM purchases FINAL WHERE type = 'completed'"); got != "250031563" {
		t.Errorf("gross is %s", got)
	}
}

func cents(t *testing.T, v any) int64 {
	t.Helper()
	n, ok := v.(*int64)
	if !ok || n == nil {
		t.Fatalf("%v (%T) is no mature amount", v, v)
	}
	return *n
}

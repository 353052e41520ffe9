package dashboards

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

// sketch is one row of latency_sketches: requests by latency, and what the cache said, in requests.
type sketch struct {
	drop, pop, request    string // request: landing if empty
	start                 int64
	ms                    map[float64]float64
	hits, stale, miss, by int
	maturity              string // final if empty
}

// gamma is the ratio of a bin's bounds at a relative error of 1 %.
const gamma = 1.01 / 0.99

func binOf(ms float64) int { return int(math.Floor(math.Log(ms) / math.Log(gamma))) }

// shown is what a sketch makes of a latency: its bin's value, within 1 %.
func shown(ms float64) float64 {
	return math.Round(math.Pow(gamma, float64(binOf(ms)))*1.01*1e6) / 1e6
}

func (s server) sketch(k sketch) {
	s.t.Helper()
	weights := map[int]int{}
	samples := 0.
	for ms, n := range k.ms {
		weights[binOf(ms)] += int(1000 * n)
		samples += n
	}
	var index, weight []string
	for _, i := range slices.Sorted(maps.Keys(weights)) {
		index, weight = append(index, fmt.Sprint(i)), append(weight, fmt.Sprint(weights[i]))
	}
	if k.request == "" {
		k.request = "landing"
	}
	if k.maturity == "" {
		k.maturity = "final"
	}
	s.exec(fmt.Sprintf(`INSERT INTO latency_sketches (drop_id, pop, request, pane_start, pane_ms, revision, maturity, sample_rate, accuracy, samples, bin_index, bin_weight,
		hits, stale, misses, bypassed, kafka_time) VALUES ('%s', '%s', '%s', fromUnixTimestamp64Milli(%d), 60000, 1, '%s', 1, 0.01, %d, [%s], [%s], %d, %d, %d, %d, now64(3))`,
		k.drop, k.pop, k.request, k.start, k.maturity, max(int(samples), k.hits+k.stale+k.miss+k.by), strings.Join(index, ","), strings.Join(weight, ","), 1000*k.hits, 1000*k.stale, 1000*k.miss, 1000*k.by))
}

func (s server) estimate(drop, metric, dimensions string, revision int, low, value, high any, more string) {
	s.t.Helper()
	if more == "" {
		more = "true AS enough, '' AS why, map()::Map(String, Float64) AS details, 0 AS n, 0 AS numerator"
	}
	s.exec(fmt.Sprintf(`INSERT INTO estimates (drop_id, metric, dimensions, revision, as_of, maturity, label, low, value, high, enough, why, details, n, numerator)
		SELECT '%s', '%s', map(%s)::Map(String, String), %d, fromUnixTimestamp64Milli(%d), 'provisional', 'observational', %v, %v, %v, enough, why, details, n, numerator FROM (SELECT %s)`,
		drop, metric, dimensions, revision, start+int64(revision)*600_000, low, value, high, more))
}

func (s server) decision(drop, topic, subject, chosen string, at int64) {
	s.t.Helper()
	s.exec(fmt.Sprintf("INSERT INTO decisions (drop_id, topic, subject, at, chosen, reason) VALUES ('%s', '%s', '%s', fromUnixTimestamp64Milli(%d), '%s', 'because')", drop, topic, subject, at, chosen))
}

const hour = int64(3_600_000)

// liveDrop fills a server with a drop "d" of creator ada, an earlier one of hers and a later one of bob's.
func liveDrop(t *testing.T) (server, Vars) {
	s := newServer(t)
	s.exec(fmt.Sprintf(`INSERT INTO drops (drop_id, creator_id, version, event_time, starts, ends, followers, forecast_age_ms, forecast_bps, item_sku, item_price, item_currency, item_inventory, budget, budget_currency) VALUES
		('past', 'ada', 1, fromUnixTimestamp64Milli(%[1]d), fromUnixTimestamp64Milli(%[1]d), fromUnixTimestamp64Milli(%[2]d), 1000, [], [], [], [], [], [], 0, ''),
		('others', 'bob', 1, fromUnixTimestamp64Milli(%[1]d), fromUnixTimestamp64Milli(%[1]d + 3600000), fromUnixTimestamp64Milli(%[2]d + 3600000), 0, [], [], [], [], [], [], 0, ''),
		('d', 'ada', 1, fromUnixTimestamp64Milli(%[1]d), fromUnixTimestamp64Milli(%[3]d), fromUnixTimestamp64Milli(%[4]d), 2000, [1800000], [5000],
			['tee', 'tee', 'cap'], [4999, 500, 1000], ['EUR', 'JPY', 'EUR'], [100, 100, 50], 500000000000, 'USD')`,
		start-24*hour, start-22*hour, start, end))
	// A new version at 12:30: the shirt is cheaper in one currency, the cap's run is longer, a poster is new.
	s.exec(fmt.Sprintf(`INSERT INTO drops (drop_id, creator_id, version, event_time, starts, ends, followers, forecast_age_ms, forecast_bps, item_sku, item_price, item_currency, item_inventory, budget, budget_currency) VALUES
		('d', 'ada', 2, fromUnixTimestamp64Milli(%[3]d), fromUnixTimestamp64Milli(%[1]d), fromUnixTimestamp64Milli(%[2]d), 2000, [1800000], [5000],
			['tee', 'tee', 'cap', 'poster'], [3999, 500, 1000, 990], ['EUR', 'JPY', 'EUR', 'EUR'], [100, 100, 80, 0], 500000000000, 'USD')`, start, end, start+hour/2))
	s.velocity(
		pane{drop: "past", pop: "fra", start: start - 24*hour + hour/6, width: 10_000, revision: 1, maturity: "final", conversions: 600},
		pane{drop: "others", pop: "fra", start: start - 23*hour, width: 10_000, revision: 1, maturity: "final", conversions: 7777},
		pane{drop: "d", pop: "fra", start: start, width: 60_000, revision: 1, maturity: "final", landed: 100, conversions: 120, currencies: []string{"EUR"}, gross: []int{10_000}},
		pane{drop: "d", pop: "sin", start: start + 60_000, width: 60_000, revision: 1, maturity: "final", landed: 50, conversions: 60, currencies: []string{"EUR", "JPY"}, gross: []int{2_000, 700}},
		pane{drop: "d", pop: "fra", start: start + 120_000, width: 60_000, revision: 1, maturity: "provisional", landed: 50, conversions: 60, currencies: []string{"EUR"}, gross: []int{0}, refunds: []int{3_000}},
	)
	s.sketch(sketch{drop: "d", pop: "fra", start: start, ms: map[float64]float64{10: 60, 150: 40}, hits: 80, stale: 10, miss: 10, by: 900})
	s.sketch(sketch{drop: "d", pop: "fra", start: start, request: "asset", ms: map[float64]float64{5: 100}, hits: 100})
	s.sketch(sketch{drop: "d", pop: "sin", start: start + 60_000, ms: map[float64]float64{900: 10}, miss: 10, maturity: "provisional"})
	return s, Vars{From: start, To: end, IntervalS: 60, Values: map[string][]string{"drop": {"d"}}}
}

func TestLivePanels(t *testing.T) {
	s, v := liveDrop(t)
	on := func(s *server, t *testing.T) server { return server{t, s.url} }

	t.Run("plan", func(t *testing.T) {
		s := on(&s, t)
		// The previous drop's 600 conversions, times two for twice the followers: 1200. After 3 of the 30 minutes in which half
		// of them are expected, 60 should have come: 20 a minute. 240 have, 80 a minute.
		s.want("Conversions now", v, "per_minute=80 plan=20 of_plan=4 plan_from=past maturity=provisional")
		early := v
		early.To = start + 60_000
		s.want("Conversions now", early, "per_minute=120 plan=20 of_plan=6 plan_from=past maturity=final")
		past := v
		past.Values = map[string][]string{"drop": {"past"}}
		// 600 in the last 5 minutes up to its newest pane.
		s.want("Conversions now", past, "per_minute=120 plan=<nil> of_plan=<nil> plan_from=no earlier drop maturity=final")

		coarse := v
		coarse.IntervalS, coarse.From, coarse.To = 300, start+hour/6, start+hour*2/3
		// The past drop's 600 fell in its 11th minute. Of the 1200, 1/36 of a half are due in 5 minutes of the last 90.
		s.want("dashboard_velocity_plan", coarse,
			"time=2026-03-02 12:15:00.000 plan=20 previous drop=120",
			"time=2026-03-02 12:20:00.000 plan=20 previous drop=0",
			"time=2026-03-02 12:25:00.000 plan=20 previous drop=0",
			"time=2026-03-02 12:30:00.000 plan=20 previous drop=0",
			"time=2026-03-02 12:35:00.000 plan=6.666667 previous drop=0",
			"time=2026-03-02 12:40:00.000 plan=6.666667 previous drop=0")
	})

	t.Run("revenue", func(t *testing.T) {
		s := on(&s, t)
		s.want("Revenue so far", v,
			"time=2026-03-02 12:00:00 currency=EUR net=100",
			"time=2026-03-02 12:01:00 currency=EUR net=120",
			"time=2026-03-02 12:01:00 currency=JPY net=700",
			"time=2026-03-02 12:02:00 currency=EUR net=90")
		// What came before the range stands at its beginning.
		late := v
		late.From = start + 90_000
		s.want("Revenue so far", late, "time=2026-03-02 12:01:30 currency=EUR net=120", "time=2026-03-02 12:01:30 currency=JPY net=700", "time=2026-03-02 12:02:00 currency=EUR net=90")
	})

	t.Run("age", func(t *testing.T) {
		s := on(&s, t)
		at := v
		at.To = start + 240_000
		// The newest pane of the first partition ends after 3 min, that of the second after 2; watermarks are 20 s further.
		s.velocity(pane{drop: "d", pop: "fra", start: start + 60_000, width: 60_000, revision: 1, maturity: "final", partition: 1})
		s.want("Age of the numbers", at, "age_s=40 slowest_s=100 maturity=provisional")
		s.want("Age of the numbers", v, "age_s=7000 slowest_s=7060 maturity=provisional")
		at.To = start + 150_000
		s.want("Age of the numbers", at, "age_s=0 slowest_s=10 maturity=provisional")
	})

	t.Run("lost to latency", func(t *testing.T) {
		s := on(&s, t)
		s.want("Lost to latency", v, "lost=<nil> low=<nil> high=<nil> currency=USD complete=0 why=no estimate yet as_of=<nil> maturity=provisional")
		missing := "false AS enough, 'too few' AS why, map()::Map(String, Float64) AS details, 0 AS n, 0 AS numerator"
		detail := "true AS enough, '' AS why, map('budget_ms', 300., 'viewers_above', 70.)::Map(String, Float64) AS details, 1000 AS n, 40 AS numerator"
		s.estimate("d", "latency_loss_revenue", "'currency', 'EUR'", 1, "NULL", "NULL", "NULL", missing)
		s.want("Lost to latency", v, "lost=<nil> low=<nil> high=<nil> currency=USD complete=0 why=too few as_of=2026-03-02 12:10:00.000 maturity=provisional")
		s.estimate("d", "latency_loss_conversions", "", 1, "-1.", "5.", "9.", detail)
		s.estimate("d", "latency_loss_conversions", "", 2, "1.", "5.", "9.", detail)
		s.estimate("d", "latency_loss_conversions", "", 3, "2.", "6.", "9.", detail)
		s.estimate("d", "latency_loss_conversions", "", 4, "-1.", "6.", "9.", detail)
		s.estimate("d", "latency_loss_revenue", "'currency', 'EUR'", 2, "10000.", "20000.", "30000.", detail)
		s.estimate("d", "latency_loss_revenue", "'currency', 'JPY'", 2, "0.", "1000.", "2000.", detail)
		s.estimate("d", "latency_loss_revenue", "'currency', 'USD'", 2, "-100.", "100.", "300.", detail)
		s.estimate("d", "latency_loss_revenue", "'pop', 'sin', 'currency', 'USD'", 2, "1.", "77700.", "88800.", detail)
		// 200 EUR at 1.10, 1000 JPY at 0.0067 and 1 USD.
		s.want("Lost to latency", v, "lost=227.7 low=109 high=346.4 currency=USD complete=1 why= as_of=2026-03-02 12:20:00.000 maturity=provisional")
		rest := " budget_ms=300 viewers=1000 viewers_above=70 label=observational why= as_of=2026-03-02 12:%s:00.000 maturity=provisional"
		sin := v
		sin.Values = map[string][]string{"drop": {"d"}, "pop": {"sin"}, "currency": {"USD"}}
		s.want("Lost to latency by POP", sin,
			"pop=all unit=conversions lost=6 low=-1 high=9"+fmt.Sprintf(rest, "40"),
			"pop=all unit=USD lost=1 low=-1 high=3"+fmt.Sprintf(rest, "20"),
			"pop=sin unit=USD lost=777 low=0.01 high=888"+fmt.Sprintf(rest, "20"))
	})

	t.Run("inventory", func(t *testing.T) {
		s := on(&s, t)
		s.want("Sells out next", v, "next_sku= state=nothing is limited minutes=<nil> low=<nil> high=<nil> sold_out=0 limited=0 maturity=final")
		item := func(sku string, revision int, n, sold, left int, details string) {
			s.estimate("d", "inventory_remaining", "'sku', '"+sku+"'", revision, left, left, left,
				fmt.Sprintf("true AS enough, '' AS why, map('reserved', 1., 'oversold', 0.%s)::Map(String, Float64) AS details, %d AS n, %d AS numerator", details, n, sold))
		}
		at := func(name string, minutes int64) string { return fmt.Sprintf(", '%s', %d.", name, start+minutes*60_000) }
		item("tee", 1, 200, 10, 190, "")
		item("tee", 2, 200, 50, 150, at("sell_out_at", 50)+at("sell_out_from", 40)+at("sell_out_to", 70))
		item("poster", 2, 0, 5, 0, "")
		item("cap", 2, 80, 80, 0, at("sold_out_at", 15))
		// As of 12:20.
		s.want("Sells out next", v, "next_sku=tee state=tee, 20 to 50 min minutes=30 low=20 high=50 sold_out=1 limited=2 maturity=provisional")
		s.want("Inventory", v,
			"sku=tee inventory=200 sold=50 sold_share=0.25 reserved=1 remaining=150 oversold=0 sold_out=<nil> sell_out=2026-03-02 12:50:00.000 sell_out_from=2026-03-02 12:40:00.000 sell_out_to=2026-03-02 13:10:00.000 maturity=provisional",
			"sku=cap inventory=80 sold=80 sold_share=1 reserved=1 remaining=0 oversold=0 sold_out=2026-03-02 12:15:00.000 sell_out=<nil> sell_out_from=<nil> sell_out_to=<nil> maturity=provisional")
	})

	t.Run("marks", func(t *testing.T) {
		s := on(&s, t)
		s.want("Catalogue", v,
			"time=2026-03-02 12:30:00.000 timeEnd=<nil> title=Limit of cap: 50 to 80 text=version 2 tags=catalogue,inventory",
			"time=2026-03-02 12:30:00.000 timeEnd=<nil> title=New item poster: 9.9 EUR text=version 2 tags=catalogue,price",
			"time=2026-03-02 12:30:00.000 timeEnd=<nil> title=Price of tee: 49.99 EUR to 39.99 EUR text=version 2 tags=catalogue,price")
		s.exec(fmt.Sprintf("INSERT INTO localization (drop_id, language, pane_start, pane_ms, expected) SELECT 'd', 'de', fromUnixTimestamp64Milli(%d + number * 10000), 10000, 3 FROM numbers(6)", start+hour/2))
		s.want("Drop", v,
			"time=2026-03-02 12:00:00.000 timeEnd=<nil> title=Drop opens text= tags=drop",
			"time=2026-03-02 12:30:00.000 timeEnd=2026-03-02 12:31:00.000 title=Premiere text=from its first to its last subtitled cue tags=drop,premiere")
		minute := func(m int64) int64 { return start + m*60_000 }
		s.decision("d", "burn_rate", "de", "page", minute(5))
		s.decision("d", "burn_rate", "de", "ok", minute(9))
		s.decision("d", "burn_rate", "de", "no_data", minute(10))
		s.decision("d", "budget", "", "warn", minute(11))
		s.decision("d", "budget", "", "cap", minute(12))
		s.decision("d", "budget", "notice", "notify", minute(12))
		s.decision("d", "inventory", "cap", "sold_out", minute(15))
		s.decision("d", "inventory", "tee", "low", minute(16))
		s.decision("d", "pace", "", "slow", minute(17))
		s.decision("d", "replicas", "", "scale", minute(18))
		s.decision("d", "replicas", "", "limit", minute(19))
		s.want("Incidents", v,
			"time=2026-03-02 12:20:00.000 timeEnd=2026-03-02 12:40:00.000 title=Landing latency costs conversions text=above 300 ms, observational: 5 lost, from 1 to 9 tags=incident,latency",
			"time=2026-03-02 12:15:00.000 timeEnd=<nil> title=cap: sold out text=because tags=incident,inventory",
			"time=2026-03-02 12:12:00.000 timeEnd=<nil> title=Edge budget: cap text=because tags=incident,budget",
			"time=2026-03-02 12:11:00.000 timeEnd=<nil> title=Edge budget: warn text=because tags=incident,budget",
			"time=2026-03-02 12:05:00.000 timeEnd=2026-03-02 12:09:00.000 title=Subtitles de: page text=because tags=incident,localization")
		s.want("Decisions", v,
			"time=2026-03-02 12:19:00.000 timeEnd=<nil> title=replicas: limit text=because tags=decision,replicas",
			"time=2026-03-02 12:16:00.000 timeEnd=<nil> title=inventory tee: low text=because tags=decision,inventory",
			"time=2026-03-02 12:12:00.000 timeEnd=<nil> title=budget notice: notify text=because tags=decision,budget")
	})
}

func TestEdgePanels(t *testing.T) {
	s, v := liveDrop(t)
	t.Run("caches", func(t *testing.T) {
		s := server{t, s.url}
		// (80 + 10 + 100) of 200 at Frankfurt, where 900 more may not be cached; none of 10 in Singapore.
		s.want("Answered from the cache by POP", v, "time=2026-03-02 12:00:00 pop=fra hits=0.95") // ten say nothing
		s.want("The edge by POP", v,
			fmt.Sprintf("pop=fra requests=200 p50=%v p95=%v p99=%v hits=0.9 stale=0.05 misses=0.05 sample_rate=1 maturity=final", shown(10), shown(150), shown(150)),
			fmt.Sprintf("pop=sin requests=10 p50=%v p95=%v p99=%v hits=0 stale=0 misses=1 sample_rate=1 maturity=provisional", shown(900), shown(900), shown(900)))
		s.sketch(sketch{drop: "old", pop: "fra", start: start, request: "asset", ms: map[float64]float64{5: 100}})
		old := v
		old.Values = map[string][]string{"drop": {"old"}}
		s.want("The edge by POP", old, "pop=fra requests=100 p50=<nil> p95=<nil> p99=<nil> hits=<nil> stale=<nil> misses=<nil> sample_rate=1 maturity=final")
	})
	t.Run("spread", func(t *testing.T) {
		s := server{t, s.url}
		fra := v
		fra.Values = map[string][]string{"drop": {"d"}, "pop": {"fra"}}
		// 10 ms lies in a bin of value 10.07, so it counts up to 15.
		s.want("Spread of landing latency", fra,
			"time=2026-03-02 12:00:00 le=15 requests=60", "time=2026-03-02 12:00:00 le=20 requests=0", "time=2026-03-02 12:00:00 le=30 requests=0",
			"time=2026-03-02 12:00:00 le=50 requests=0", "time=2026-03-02 12:00:00 le=70 requests=0", "time=2026-03-02 12:00:00 le=100 requests=0",
			"time=2026-03-02 12:00:00 le=150 requests=40")
		if a := s.run("Spread of landing latency", v); len(a.Data) != 24 { // 12 buckets from 15 to 1000 in two minutes
			t.Errorf("%d rows: %v", len(a.Data), a.Data)
		}
	})
	t.Run("buckets", func(t *testing.T) {
		s := server{t, s.url}
		// DOMAIN 0: 30 of 1000 and 0 of 50.
		s.exec(`INSERT INTO attribution (drop_id, pop, device, revision, closed, viewers, conversions, latency_us) VALUES
			('d', 'fra', 'phone', 1, true, [0,600,0,0,0,0,0,0,50,0,0,0], [0,20,0,0,0,0,0,0,0,0,0,0], [0,42000000,0,0,0,0,0,0,50000000,0,0,0]),
			('d', 'fra', 'tv', 1, false, [0,400,0,0,0,0,0,0,0,0,0,0], [0,10,0,0,0,0,0,0,0,0,0,0], [0,28000000,0,0,0,0,0,0,0,0,0,0])`)
		s.want("Conversion by landing latency", v,
			"mean_ms=70 from_ms=50 n=1000 converted=30 rate=0.03 low=0.021094 high=0.042503 maturity=provisional",
			"mean_ms=1000 from_ms=800 n=50 converted=0 rate=0 low=0 high=0.071348 maturity=provisional")
	})
	t.Run("pre-warm", func(t *testing.T) {
		s := server{t, s.url}
		s.exec(fmt.Sprintf(`INSERT INTO latency_events (drop_id, pop, request, cache, ms, sample_rate, synthetic, type, event_time, ingest_time, kafka_time)
			SELECT if(number %% 2 = 0, '', 'd'), if(number < 100, 'fra', 'iad'), if(number %% 3 = 0, 'asset', 'probe'), if(number IN (0, 100), 'miss', 'hit'), 5, 1, true, 'request', at, at, at
			FROM (SELECT number, fromUnixTimestamp64Milli(%d - 1000 * (number + 1)) AS at FROM numbers(110))`, start))
		s.exec(fmt.Sprintf(`INSERT INTO latency_events (drop_id, pop, request, cache, ms, sample_rate, synthetic, type, event_time, ingest_time, kafka_time)
			SELECT '', 'fra', 'probe', 'miss', 5, 1, number = 0, 'request', at, at, at FROM (SELECT number, fromUnixTimestamp64Milli(if(number = 0, %d, %d)) AS at FROM numbers(2))`, start, start-1000))
		s.want("Caches before the start", v,
			"pop=iad sent=10 hits=9 hit_ratio=0.9 state=cold pops_cold=1",
			"pop=fra sent=100 hits=99 hit_ratio=0.99 state=warm pops_cold=1",
			"pop=sin sent=0 hits=0 hit_ratio=<nil> state=no canary pops_cold=1")
	})
	t.Run("correlation", func(t *testing.T) {
		s := server{t, s.url}
		s.want("Latency with conversion, minute by minute", v, "r_raw=<nil> r=<nil> low=<nil> high=<nil> minutes=0 age_bins=0 label=observational why=too few minutes in which enough players landed, or no spread among them")
		correlated(t, s)
	})
}

// Two half hours: the first is slow and converts well, as openings do, so that the plain correlation is positive, and within
// each of them slower minutes convert worse.
func correlated(t *testing.T, s server) {
	s.drop("rush", "ada")
	var xs, ys [2][]float64
	for i := range int64(60) {
		rush := 1 - int(i/30)
		ms := float64(60+120*rush) + 3*float64(i*7%13)
		n := 20 + 40*rush - int(i*7%13) + int(i%4)
		at := start + i*60_000
		s.sketch(sketch{drop: "rush", pop: "fra", start: at, ms: map[float64]float64{ms: 50}})
		// Half convert a minute after they landed, the others beyond the horizon: those do not count.
		s.velocity(
			pane{drop: "rush", pop: "fra", start: at, width: 60_000, revision: 1, maturity: "final", landed: 100, partition: 1},
			pane{drop: "rush", pop: "fra", start: at + 60_000, width: 60_000, revision: 1, maturity: "final", panes: []int{1}, counts: []int{n}, partition: 2},
			pane{drop: "rush", pop: "fra", start: at + 20*60_000, width: 60_000, revision: 1, maturity: "final", panes: []int{20}, counts: []int{30}, partition: 3})
		xs[rush], ys[rush] = append(xs[rush], math.Pow(gamma, float64(binOf(ms)))*1.01), append(ys[rush], float64(n)/100)
	}
	// Every partition has come to the horizon of the last minute; who landed there are too few to count.
	for partition := range 4 {
		s.velocity(pane{drop: "rush", pop: "fra", start: start + 90*60_000, width: 60_000, revision: 1, maturity: "final", landed: 2, partition: partition})
	}
	mean := func(v []float64) (sum float64) {
		for _, x := range v {
			sum += x / float64(len(v))
		}
		return sum
	}
	pearson := func(x, y []float64) float64 {
		mx, my, xx, yy, xy := mean(x), mean(y), 0., 0., 0.
		for i := range x {
			dx, dy := x[i]-mx, y[i]-my
			xx, yy, xy = xx+dx*dx, yy+dy*dy, xy+dx*dy
		}
		return xy / math.Sqrt(xx*yy)
	}
	var rx, ry []float64
	for bin := range xs {
		mx, my := mean(xs[bin]), mean(ys[bin])
		for i := range xs[bin] {
			rx, ry = append(rx, xs[bin][i]-mx), append(ry, ys[bin][i]-my)
		}
	}
	raw, r := pearson(slices.Concat(xs[0], xs[1]), slices.Concat(ys[0], ys[1])), pearson(rx, ry)
	if raw < 0.5 || r > -0.5 {
		t.Fatalf("the example shows nothing: %v and %v", raw, r)
	}
	half := 1.959963984540054 / math.Sqrt(60-2-2)
	six := func(f float64) float64 { return math.Round(f*1e6) / 1e6 }
	v := Vars{From: start, To: end, Values: map[string][]string{"drop": {"rush"}}}
	s.want("Latency with conversion, minute by minute", v, fmt.Sprintf("r_raw=%v r=%v low=%v high=%v minutes=60 age_bins=2 label=observational why=",
		six(raw), six(r), six(math.Tanh(math.Atanh(r)-half)), six(math.Tanh(math.Atanh(r)+half))))
	points := s.run("Minutes, less the mean of their age", v)
	if len(points.Data) != 60 {
		t.Fatalf("%d points", len(points.Data))
	}
	// The newest minute is the last of the second half hour.
	if x, y := points.Data[0]["latency"].(float64), points.Data[0]["converted"].(float64); math.Abs(x-rx[29]) > 1e-6 || math.Abs(y-ry[29]) > 1e-6 {
		t.Errorf("the newest minute is at %v, %v; want %v, %v", x, y, rx[29], ry[29])
	}
}

// Every query of the two boards stands drops that are unknown or strangely named, and ranges that are empty, to come or the
// wrong way round.
func TestLiveBadInput(t *testing.T) {
	s, v := liveDrop(t)
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, board := range all[:2] {
		for _, target := range board.Targets() {
			if target.Datasource != ClickHouse || asked[target.Query] {
				continue
			}
			asked[target.Query] = true
			ask := func(drop string, from, to int64) {
				s.answer(target, Vars{From: from, To: to, IntervalS: 60, Values: map[string][]string{"drop": {drop}}})
			}
			for _, name := range []string{"none", `o'); DROP TABLE drops; -- \`, "🎉 عرض"} {
				ask(name, v.From, v.To)
			}
			for _, span := range [][2]int64{{start, start}, {end, start}, {end + 1000*hour, end + 1001*hour}, {0, 1}} {
				ask("d", span[0], span[1])
			}
		}
	}
	if got := strings.TrimSpace(string(s.exec("SELECT count() FROM drops"))); got == "0" {
		t.Error("nothing is left of the catalogue")
	}
}

package dashboards

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// posting is one of a transaction: minor units, debit positive.
type posting struct {
	account, participant string
	amount               int64
}

// transaction is one of the ledger; waited is the time from its ingest to its block.
type transaction struct {
	checkout, kind, drop, creator, currency string
	version                                 int
	amount, at, waited                      int64
	postings                                []posting
}

// list writes an array of ClickHouse.
func list[T any](items []T, text func(int, T) string) string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = text(i, item)
	}
	return "[" + strings.Join(out, ",") + "]"
}

// block stores a block of the ledger, with the exception that a checkout was parked where there is one.
func (s server) block(height int, parked string, transactions ...transaction) {
	s.t.Helper()
	quoted := func(of func(transaction) string) string {
		return list(transactions, func(_ int, t transaction) string { return quote(of(t)) })
	}
	number := func(of func(transaction) int64) string {
		return list(transactions, func(_ int, t transaction) string { return fmt.Sprint(of(t)) })
	}
	type numbered struct {
		of int
		posting
	}
	var postings []numbered
	latest := start
	for i, t := range transactions {
		latest = max(latest, t.at+t.waited)
		for _, p := range t.postings {
			postings = append(postings, numbered{i + 1, p})
		}
	}
	var waiting []string
	if parked != "" {
		waiting = []string{parked}
	}
	exception := func(text string) string { return list(waiting, func(int, string) string { return text }) }
	s.exec(fmt.Sprintf(`INSERT INTO ledger (partition, height, posted_at, tx_source, tx_checkout, tx_type, tx_seq, tx_drop, tx_creator, tx_split_version, tx_currency,
		tx_amount, tx_event_time, tx_ingest_time, posting_tx, posting_account, posting_participant, posting_amount,
		ex_outcome, ex_source, ex_checkout, ex_type, ex_seq, ex_drop, ex_currency, ex_amount, ex_event_time, ex_ingest_time, ex_detail, kafka_offset, kafka_time)
		VALUES (0, %d, fromUnixTimestamp64Milli(%d), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %d, now64(3))`,
		height, latest,
		quoted(func(transaction) string { return "web" }), quoted(func(t transaction) string { return t.checkout }), quoted(func(t transaction) string { return t.kind }),
		number(func(transaction) int64 { return 0 }), quoted(func(t transaction) string { return t.drop }), quoted(func(t transaction) string { return t.creator }),
		number(func(t transaction) int64 { return int64(t.version) }), quoted(func(t transaction) string { return t.currency }),
		number(func(t transaction) int64 { return t.amount }), number(func(t transaction) int64 { return t.at }), number(func(t transaction) int64 { return latest - t.waited }),
		list(postings, func(_ int, p numbered) string { return fmt.Sprint(p.of) }), list(postings, func(_ int, p numbered) string { return quote(p.account) }),
		list(postings, func(_ int, p numbered) string { return quote(p.participant) }), list(postings, func(_ int, p numbered) string { return fmt.Sprint(p.amount) }),
		exception("'parked'"), exception("'web'"), list(waiting, func(_ int, id string) string { return quote(id) }), exception("'refunded'"), exception("0"), exception("'m'"),
		exception("'USD'"), exception("700"), exception(fmt.Sprint(start)), exception(fmt.Sprint(start)), exception("'no sale of this checkout is posted yet'"), height))
}

// checkout stores an event about money as the sink does, an hour ago: nothing of it can still be on its way.
func (s server) checkout(offset int, id, kind, drop, currency string, amount, at int64) {
	s.t.Helper()
	s.exec(fmt.Sprintf(`INSERT INTO checkout_events (id, type, event_time, ingest_time, player_id, drop_id, channel, checkout_id, amount, currency, sample_rate, kafka_offset, kafka_time)
		VALUES (generateUUIDv4(), '%s', fromUnixTimestamp64Milli(%[2]d), fromUnixTimestamp64Milli(%[2]d), 'p', %[3]s, 'web', %[4]s, %[5]d, '%[6]s', 1, %[7]d, now64(3) - INTERVAL 1 HOUR)`,
		kind, at, quote(drop), quote(id), amount, currency, offset))
}

// find answers a panel's rows as texts, to look one up by its beginning.
func (s server) find(title string, v Vars, prefix string) string {
	s.t.Helper()
	a := s.run(title, v)
	var all []string
	for _, row := range a.Data {
		var cells []string
		for _, column := range a.Meta {
			cells = append(cells, fmt.Sprintf("%s=%v", column.Name, row[column.Name]))
		}
		line := strings.Join(cells, " ")
		if strings.HasPrefix(line, prefix) {
			return line
		}
		all = append(all, line)
	}
	s.t.Errorf("%s: no row %s in\n%s", title, prefix, strings.Join(all, "\n"))
	return ""
}

const day = int64(86_400_000)

// The sale of DOMAIN 8.1, its refund and the chargeback of the rest of DOMAIN 8.2, and a sale in KWD with its three digits.
func TestCreatorsBoard(t *testing.T) {
	s := newServer(t)
	s.exec(fmt.Sprintf(`INSERT INTO drops (drop_id, creator_id, version, starts, ends, split_version, split_participant, split_bps) VALUES
		('m', 'ada', 1, fromUnixTimestamp64Milli(%[1]d), fromUnixTimestamp64Milli(%[2]d), [1, 2], [['platform','a','b','c'],['platform','a']], [[1000,4500,3000,1500],[1000,9000]]),
		('w', 'eve', 1, fromUnixTimestamp64Milli(%[1]d), fromUnixTimestamp64Milli(%[2]d), [1], [['platform','e']], [[1000,9000]]),
		('quiet', 'ada', 1, fromUnixTimestamp64Milli(%[1]d), fromUnixTimestamp64Milli(%[2]d), [], [], [])`, start, end))
	sale := func(id string, at, waited int64) transaction {
		return transaction{id, "completed", "m", "ada", "USD", 1, 4999, at, waited, []posting{
			{"psp_clearing", "", 4999}, {"platform_rev", "", -500}, {"payable", "a", -2249}, {"payable", "b", -1500}, {"payable", "c", -750}}}
	}
	s.block(1, "", sale("one", start, 5000))
	s.block(2, "", sale("two", start+1000, 6000))
	s.block(3, "", transaction{"kwd", "completed", "m", "ada", "KWD", 2, 12_345, start + 60_000, 61_000, []posting{
		{"psp_clearing", "", 12_345}, {"platform_rev", "", -1235}, {"payable", "a", -11_110}}})
	s.block(4, "parked", transaction{"one", "refunded", "m", "ada", "USD", 1, 1000, start + 120_000, 0, []posting{
		{"platform_rev", "", 100}, {"payable", "a", 450}, {"payable", "b", 300}, {"payable", "c", 150}, {"psp_clearing", "", -1000}}})
	s.block(5, "", transaction{"one", "chargeback", "m", "ada", "USD", 1, 3999, start + 180_000, 0, []posting{
		{"platform_rev", "", 400}, {"payable", "a", 1799}, {"payable", "b", 1200}, {"payable", "c", 600}, {"dispute_fee", "", 1500}, {"psp_clearing", "", -5499}}})
	s.checkout(1, "one", "completed", "m", "USD", 4999, start)
	s.checkout(2, "one", "completed", "m", "USD", 4999, start) // resent
	s.checkout(3, "two", "completed", "m", "USD", 4999, start+1000)
	s.checkout(4, "kwd", "completed", "m", "KWD", 12_345, start+60_000)
	s.checkout(5, "one", "refunded", "", "USD", 1000, start+120_000) // names no drop
	s.checkout(6, "one", "chargeback", "m", "USD", 3999, start+180_000)
	s.checkout(7, "parked", "refunded", "m", "USD", 700, start)
	// In drop w one sale is missing in the ledger, another one stands there alone.
	s.checkout(8, "lost", "completed", "w", "EUR", 300, start)
	s.block(6, "", transaction{"stray", "completed", "w", "eve", "EUR", 1, 300, start, 2 * day, []posting{{"psp_clearing", "", 300}, {"payable", "e", -300}}})

	m := Vars{From: start, To: end, IntervalS: 60, Values: map[string][]string{"drop": {"m"}}}
	on := func(drop string, more map[string][]string) Vars {
		v := m
		v.Values = map[string][]string{"drop": {drop}}
		for name, values := range more {
			v.Values[name] = values
		}
		return v
	}
	s.want("Reconciliation", m, "state=balanced currencies=2 differ=0 wrong=0 unbalanced=0 fresh=0 parked=1 refused=0")
	s.want("Reconciliation by currency", m,
		"currency=KWD events=12.345 posted=12.345 parked=0 refused=0 dead_lettered=0 in_flight=0 difference=0 wrong=0 ledger_sum=0",
		"currency=USD events=42.99 posted=49.99 parked=-7 refused=0 dead_lettered=0 in_flight=0 difference=0 wrong=0 ledger_sum=0")
	// The two errors of w cancel out in money, and are errors all the same.
	s.want("Reconciliation", on("w", nil), "state=DIFFERENCE currencies=1 differ=0 wrong=2 unbalanced=0 fresh=0 parked=0 refused=0")
	s.want("Open money", m, "state=parked reason=parked type=refunded currency=USD events=1 amount=-7 oldest="+s.run("Open money", m).Data[0]["oldest"].(string))
	s.want("Exceptions", m, "time=2026-03-02 12:00:00.000 outcome=parked type=refunded checkout=parked currency=USD amount=7 detail=no sale of this checkout is posted yet")

	// 5 s are within 5 s; 6 s are not, and 61 s are not within 60 s. The stray one of w lay two days in a recording.
	s.want("Settlement objective", m, "measured=3 recorded=0 within_5s=0.333333 within_60s=0.666667 p50_s=6 p99_s=61 objective=missed")
	s.want("Settlement objective", on("w", nil), "measured=0 recorded=1 within_5s=<nil> within_60s=<nil> p50_s=<nil> p99_s=<nil> objective=recorded only")
	s.want("Settled within 5 s and 60 s", m,
		"time=2026-03-02 12:00:00 within 5 s=0.5 within 60 s=1",
		"time=2026-03-02 12:01:00 within 5 s=0 within 60 s=0")
	s.want("Refunds and chargebacks", on("m", map[string][]string{"currency": {"USD"}}),
		"time=2026-03-02 12:00:00 currency=USD reporting=USD sales=99.98 refunds=0 chargebacks=0 returned=0",
		"time=2026-03-02 12:02:00 currency=USD reporting=USD sales=0 refunds=-10 chargebacks=0 returned=-10",
		"time=2026-03-02 12:03:00 currency=USD reporting=USD sales=0 refunds=0 chargebacks=-39.99 returned=-39.99")

	s.want("Creators", on("m", map[string][]string{"creator": {"ada"}}),
		"creator=ada currency=USD drops=1 sales=2 gross=99.98 refunds=-10 chargebacks=-39.99 net=49.99 shares=44.99 platform=5",
		"creator=ada currency=KWD drops=1 sales=1 gross=12.345 refunds=0 chargebacks=0 net=12.345 shares=11.11 platform=1.235")
	s.want("Net revenue by creator", on("m", map[string][]string{"currency": {"KWD"}}), "time=2026-03-02 12:01:00 creator=ada currency=KWD reporting=USD net=12.345 reported=40.12125")
	s.want("Shares of the drop", m,
		"version=2 participant=a agreed=0.9 currency=KWD credited=11.11 share=0.899959",
		"version=2 participant=platform agreed=0.1 currency=KWD credited=1.235 share=0.100041",
		"version=1 participant=a agreed=0.45 currency=USD credited=22.49 share=0.44989",
		"version=1 participant=b agreed=0.3 currency=USD credited=15 share=0.30006",
		"version=1 participant=c agreed=0.15 currency=USD credited=7.5 share=0.15003",
		"version=1 participant=platform agreed=0.1 currency=USD credited=5 share=0.10002")

	// While the drop runs, all is held; nothing is known of a participant without a sale.
	s.want("Owed to participants", on("m", map[string][]string{"currency": {"KWD"}}),
		"participant=a currency=KWD earned=11.11 returned=0 paid=0 owed=11.11 held=11.11 reserved=0 instructed=0 payable=0 alarms=0")
	s.find("Held back", on("m", map[string][]string{"creator": {"ada"}}), "drop=m participant=a currency=KWD held=11.11 reserved=0 until=2026-03-09 14:00:00.000")
	s.want("Payouts", m, "status=no payout has been instructed: what was earned is still held participant= currency= amount=<nil> paid=<nil> as_of=<nil> id=")

	// Eight days later the reserve of a tenth, rounded down, is left: 1.111 KWD. The rest is payable, and 5 KWD of it are instructed, 2 paid.
	s.edgeCost("", "fra", end+8*day, "final", "", "NULL", 0)
	s.block(7, "", transaction{"a|KWD|1", "settled", "", "", "KWD", 0, 2000, end + 8*day, 0, []posting{{"payable", "a", 2000}, {"payout_clearing", "", -2000}}})
	s.exec(fmt.Sprintf(`INSERT INTO settlements (id, participant, currency, seq, revision, status, amount, psp_amount, psp_exponent, paid, as_of, kafka_time) VALUES
		('a|KWD|1', 'a', 'KWD', 1, 2, 'mismatched', 1000, 1000, 3, 2000, fromUnixTimestamp64Milli(%[1]d), now64(3)),
		('a|KWD|2', 'a', 'KWD', 2, 1, 'open', 5000, 5000, 3, 0, fromUnixTimestamp64Milli(%[1]d), now64(3)),
		('z|KWD|1', 'z', 'KWD', 1, 1, 'open', 9000, 9000, 3, 0, fromUnixTimestamp64Milli(%[1]d), now64(3))`, end+8*day))
	s.want("Owed to participants", on("m", map[string][]string{"currency": {"KWD"}}),
		"participant=a currency=KWD earned=11.11 returned=0 paid=2 owed=9.11 held=0 reserved=1.111 instructed=5 payable=2.999 alarms=1")
	s.find("Held back", on("m", map[string][]string{"creator": {"ada"}}), "drop=m participant=a currency=KWD held=0 reserved=1.111 until=2026-06-30 14:00:00.000")
	s.want("Payouts", m,
		"status=mismatched participant=a currency=KWD amount=1 paid=2 as_of=2026-03-10 14:00:00.000 id=a|KWD|1",
		"status=open participant=a currency=KWD amount=5 paid=0 as_of=2026-03-10 14:00:00.000 id=a|KWD|2")

	if got := s.find("Effects and their evidence", m, "grade=–"); !strings.Contains(got, "no effect has been estimated") {
		t.Error(got)
	}
	s.exec(fmt.Sprintf(`INSERT INTO estimates (drop_id, metric, dimensions, revision, grade, label, enough, unit, value, low, high, confidence, n, maturity, as_of, kafka_time)
		SELECT 'm', m, map('variant', 'b'), r, g, l, true, 'pp', r + 0.5, 0.1, 3, 0.95, 100, 'provisional', fromUnixTimestamp64Milli(%d), now64(3)
		FROM VALUES('m String, r UInt64, g String, l String', ('experiment_effect', 1, 'randomized_itt', 'caused'), ('experiment_effect', 2, 'randomized_itt', 'caused, per offered player'),
			('returns', 1, 'descriptive', 'purchasers retain more'), ('edge_spent', 1, '', ''))`, start))
	s.want("Effects and their evidence", m,
		"grade=A estimate=experiment effect of=variant b value=2.5 low=0.1 high=3 unit=pp note= maturity=provisional words=caused, per offered player n=100 confidence=0.95",
		"grade=E estimate=returns of=variant b value=1.5 low=0.1 high=3 unit=pp note= maturity=provisional words=purchasers retain more n=100 confidence=0.95")
	for _, row := range s.run("Effects and their evidence", m).Data {
		if row["grade"] == "E" && strings.Contains(fmt.Sprint(row), "lift") {
			t.Errorf("an association is called lift: %v", row)
		}
	}

	// A rebuild of the views changes nothing.
	before := s.run("Reconciliation by currency", m).Data
	for _, view := range []string{"money_facts_from_checkout_events", "money_posted_from_ledger"} {
		target, _, _ := strings.Cut(view, "_from_")
		columns := strings.TrimSpace(string(s.exec("SELECT arrayStringConcat(groupArray(name), ', ') FROM (SELECT name FROM system.columns WHERE table = '" + view + "' AND database = currentDatabase() ORDER BY position) FORMAT TSVRaw")))
		text := strings.TrimSpace(string(s.exec("SELECT as_select FROM system.tables WHERE name = '" + view + "' AND database = currentDatabase() FORMAT TSVRaw")))
		s.exec("INSERT INTO " + target + " (" + columns + ") " + text)
	}
	if after := s.run("Reconciliation by currency", m).Data; fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("%v after a rebuild, %v before", after, before)
	}
	testBadChoices(s, "droplift-creators", m)
}

// What drops changed is read out as a whole: a later read-out replaces an earlier one, even where that said more.
func TestChanges(t *testing.T) {
	s := newServer(t)
	for i, id := range []string{"old", "m", `dr"op's 🎉`} {
		s.exec(fmt.Sprintf(`INSERT INTO drops (drop_id, creator_id, version, starts, ends) VALUES (%s, 'ada', 1, fromUnixTimestamp64Milli(%d), fromUnixTimestamp64Milli(%d))`,
			quote(id), start+int64(i)*day, end+int64(i)*day))
	}
	offset := 0
	// read stores one number: NULL and its reason without a value.
	read := func(drop, metric, horizon, scope, method, grade, words, unit, value string, revision int64, why string) {
		t.Helper()
		offset++
		s.exec(fmt.Sprintf(`INSERT INTO estimates (drop_id, creator_id, metric, dimensions, revision, as_of, grade, label, enough, why, unit, value, low, high, p, confidence, n, maturity, details, kafka_offset, kafka_time)
			SELECT %s, 'ada', '%s', map('horizon', '%s', 'scope', '%s', 'method', '%s', 'against', 'others'), %[6]d, fromUnixTimestamp64Milli(%[6]d), '%[7]s', '%[8]s', %[9]s IS NOT NULL, '%[10]s', '%[11]s',
				%[9]s, %[9]s - 0.1, %[9]s + 0.1, if(%[9]s IS NULL, NULL, 0.5), 0.95, 12, if(%[9]s IS NULL, 'provisional', 'final'), map('treated', 1, 'permutation_p', 0.25), %[12]d, now64(3)`,
			quote(drop), metric, horizon, scope, method, revision, grade, words, value, why, unit, offset))
	}
	const c, e = "estimated effect, assumes parallel trends", "purchasers retain more"
	first, second := start+7*day, start+28*day
	read("m", "change_audience", "[0 d, 7 d)", "this drop", "did", "quasi_did", c, "rel", "0.2", first, "")
	read("m", "change_audience", "[0 d, 7 d)", "gone since", "did", "quasi_did", c, "rel", "0.2", first, "")
	read("m", "change_audience", "[0 d, 7 d)", "this drop", "did", "quasi_did", c, "rel", "0.4", second, "")
	read("m", "change_audience", "[0 d, 7 d)", "this drop", "did", "quasi_did", c, "rel", "0.3", second, "again, with late events")
	read("m", "change_audience", "[0 d, 7 d)", "drops of 90 d", "did", "quasi_did", c, "rel", "0.25", second, "")
	read("m", "change_audience", "[7 d, 28 d)", "this drop", "did", "quasi_did", c, "rel", "NULL", second, "withheld")
	read("m", "change_return", "D7", "this drop", "two proportions", "randomized_itt", "caused, per offered player", "pp", "NULL", second, "no holdout")
	read("m", "change_return", "D7", "this drop", "raw", "descriptive", e, "pp", "4", second, "")
	read("m", "change_return", "D7", "this drop", "matching", "matched", "adjusted association", "pp", "2", second, "")
	read("m", "change_return", "D28", "this drop", "raw", "descriptive", e, "pp", "3", second, "")
	read("old", "change_revenue", "[0 d, 7 d)", "this drop", "did", "quasi_did", c, "rel", "2", first, "")

	v := Vars{From: start, To: end, IntervalS: 60, Values: map[string][]string{"drop": {"m"}, "creator": {"ada"}}}
	asOf := fmt.Sprintf("as_of=%s", s.text("SELECT fromUnixTimestamp64Milli(%d, 'UTC')", second))
	change := func(outcome, window, scope, number, grade, method, words, maturity, why string) string {
		p := "0.25" // the permutation test's
		if strings.Contains(number, "nil") {
			p = "<nil>"
		}
		return fmt.Sprintf("outcome=%s window=%s scope=%s %s missing=%s grade=%s maturity=%s words=%s p=%s n=12 treated=1 method=%s against=others confidence=0.95 %s",
			outcome, window, scope, number, why, grade, maturity, words, p, method, asOf)
	}
	const none = "value=<nil> low=<nil> high=<nil>"
	nothing := func(outcome, at string) string {
		return "outcome=" + outcome + " window= scope= value=<nil> low=<nil> high=<nil> unit= missing=nothing is published yet: the first window is over at " + at +
			" UTC grade=– maturity=provisional words= p=<nil> n=<nil> treated=<nil> method= against= confidence=<nil> as_of=<nil>"
	}
	s.want("What the drop changed", v,
		change("audience", "[0 d, 7 d)", "this drop", "value=30 low=20 high=40 unit=%", "C", "did", c, "final", "again, with late events"),
		change("audience", "[7 d, 28 d)", "this drop", none+" unit=%", "C", "did", c, "provisional", "withheld"),
		change("audience", "[0 d, 7 d)", "drops of 90 d", "value=25 low=15 high=35 unit=%", "C", "did", c, "final", ""),
		nothing("revenue", "2026-03-10 12:00"), nothing("halo", "2026-03-10 12:00"),
		change("return", "D7", "this drop", none+" unit=pp", "A", "two proportions", "caused, per offered player", "provisional", "no holdout"),
		change("return", "D7", "this drop", "value=2 low=1.9 high=2.1 unit=pp", "D", "matching", "adjusted association", "final", ""),
		change("return", "D7", "this drop", "value=4 low=3.9 high=4.1 unit=pp", "E", "raw", e, "final", ""),
		change("return", "D28", "this drop", "value=3 low=2.9 high=3.1 unit=pp", "E", "raw", e, "final", ""))
	v.Values["drop"] = []string{`dr"op's 🎉`}
	s.want("What the drop changed", v,
		nothing("audience", "2026-03-11 12:00"), nothing("revenue", "2026-03-11 12:00"), nothing("halo", "2026-03-11 12:00"), nothing("return", "2026-03-06 14:00"))
	for prefix, want := range map[string]string{
		`creator=ada drop=dr"op's 🎉`:                            "outcome=any window= value=<nil>",
		"creator=ada drop=m outcome=audience window=[0 d, 7 d)": "value=30 ",
		"creator=ada drop=m outcome=return":                     "value=2 low=1.9 high=2.1 unit=pp missing= grade=D maturity=final words=adjusted association",
		"creator=ada drop=old":                                  "outcome=revenue window=[0 d, 7 d) value=200 low=190 high=210 unit=% missing= grade=C",
	} {
		if got := s.find("What each creator's drops changed", v, prefix); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if n := len(s.run("What each creator's drops changed", v).Data); n != 5 {
		t.Errorf("%d rows of past drops, want 5", n)
	}
	// Elsewhere they are not shown again.
	if got := s.find("Effects and their evidence", v, "grade=–"); !strings.Contains(got, "no effect has been estimated") {
		t.Error(got)
	}
}

// text is the answer to SQL with one cell.
func (s server) text(format string, values ...any) string {
	s.t.Helper()
	return strings.TrimSpace(string(s.exec(fmt.Sprintf(format, values...) + " FORMAT TSVRaw")))
}

// edgeCost stores a pane of a minute.
func (s server) edgeCost(drop, pop string, at int64, maturity, currency, cost string, conversions int) {
	s.t.Helper()
	s.exec(fmt.Sprintf(`INSERT INTO edge_cost (drop_id, pop, creator_id, pane_start, pane_ms, revision, maturity, sample_rate, requests_micro, conversions, currency, prices, cost, kafka_time)
		VALUES ('%s', '%s', '', fromUnixTimestamp64Milli(%d), 60000, 1, '%s', 1, 1000000000000, %d, '%s', '%s', %s, now64(3))`, drop, pop, at, maturity, conversions, currency, currency, cost))
}

// DOMAIN 9: of a budget of 500, 150 are planned at this time and 180 spent, at a rate that projects 1,140.
func TestCostBoard(t *testing.T) {
	s := newServer(t)
	for _, id := range []string{"m", "free"} {
		s.exec(fmt.Sprintf(`INSERT INTO drops (drop_id, creator_id, version, starts, ends, budget, budget_currency)
			VALUES ('%s', 'ada', 1, fromUnixTimestamp64Milli(%d), fromUnixTimestamp64Milli(%d), 500000000000, 'USD')`, id, start, end))
	}
	s.exec(fmt.Sprintf(`INSERT INTO estimates (drop_id, metric, revision, enough, why, unit, value, maturity, as_of, details, kafka_time)
		SELECT d, 'edge_projection', r, d = 'm', if(d = 'm', '', 'no price list for USD'), 'nano:USD', if(d = 'm', v, NULL), if(r = 1, 'final', 'provisional'), fromUnixTimestamp64Milli(%d + r * 60000),
			map('budget', 500000000000, 'planned', 150000000000, 'spent', s, 'reserved', 0, 'pace', p), now64(3)
		FROM VALUES('d String, r UInt64, v Float64, s Float64, p Float64', ('m', 1, 900000000000, 100000000000, 1), ('m', 2, 1140000000000, 180000000000, 0.9), ('free', 1, 0, 0, 1))`, start))
	decide := func(topic string, at int64, chosen, previous string, value float64, inputs string) {
		s.exec(fmt.Sprintf(`INSERT INTO decisions (drop_id, topic, subject, at, chosen, previous, value, reason, inputs, kafka_time)
			VALUES ('m', '%s', '', fromUnixTimestamp64Milli(%d), '%s', '%s', %v, 'because', map('spent', 180e9, 'projected', 1140e9, 'budget', 500e9%s), now64(3))`, topic, at, chosen, previous, value, inputs))
	}
	decide("budget", start+60_000, "warn", "ok", 1, "")
	decide("pace", start+120_000, "slow", "1", .9, "")
	decide("shed", start+120_000, "debug traces", "none", 1, "")
	decide("replicas", start+60_000, "scale", "2", 40, ", 'hpa', 40")
	decide("replicas", start+120_000, "limit", "40", 66, ", 'hpa', 80, 'cost_max', 66")
	// A million requests at each POP, half of a dollar and a dollar and a half; sin has no price.
	s.edgeCost("m", "fra", start, "final", "USD", "500000000", 2)
	s.edgeCost("m", "nyc", start+60_000, "provisional", "USD", "1500000000", 3)
	s.edgeCost("m", "sin", start, "final", "", "NULL", 1)
	s.edgeCost("", "fra", start, "final", "USD", "250000000", 0)

	m := Vars{From: start, To: end, IntervalS: 60, Values: map[string][]string{"drop": {"m"}}}
	with := func(name string, values ...string) Vars {
		v := m
		v.Values = map[string][]string{"drop": {"m"}, name: values}
		return v
	}
	free := m
	free.Values = map[string][]string{"drop": {"free"}}
	s.want("Budget at a glance", m, "spent=180 budget=500 spent_share=0.36 projected=1140 projected_share=2.28 pace=0.9 level=warn shed=debug traces currency=USD maturity=provisional note=")
	s.want("Budget at a glance", free, "spent=<nil> budget=500 spent_share=<nil> projected=<nil> projected_share=<nil> pace=1 level=ok shed=none currency=USD maturity=final note=no price list for USD")
	first := m
	first.To = start + 61_000
	s.want("Budget at a glance", first, "spent=100 budget=500 spent_share=0.2 projected=900 projected_share=1.8 pace=1 level=warn shed=none currency=USD maturity=final note=")
	s.want("Spent against plan", m,
		"time=2026-03-02 12:00:00 currency=USD spent=0.5 spent_provisional=<nil> planned=4.166667 projected=<nil> budget=500",
		"time=2026-03-02 12:01:00 currency=USD spent=<nil> spent_provisional=2 planned=8.333333 projected=900 budget=500",
		"time=2026-03-02 12:02:00 currency=USD spent=<nil> spent_provisional=<nil> planned=<nil> projected=1140 budget=<nil>")
	since := m
	since.From = start + 60_000 // what was spent before the range counts, too
	s.want("Spent against plan", since,
		"time=2026-03-02 12:01:00 currency=USD spent=<nil> spent_provisional=2 planned=8.333333 projected=900 budget=500",
		"time=2026-03-02 12:02:00 currency=USD spent=<nil> spent_provisional=<nil> planned=<nil> projected=1140 budget=<nil>")
	s.want("Pace", m, "time=2026-03-02 12:00:00 pace=1", "time=2026-03-02 12:01:00 pace=1", "time=2026-03-02 12:02:00 pace=0.9")
	s.want("Budget level and shedding", m,
		"time=2026-03-02 12:00:00.000 level=ok shed=none",
		"time=2026-03-02 12:01:00.000 level=warn shed=none",
		"time=2026-03-02 12:02:00.000 level=warn shed=debug traces")
	// A range that begins later begins with what was in force.
	later := m
	later.From = start + 90_000
	s.want("Budget level and shedding", later,
		"time=2026-03-02 12:01:30.000 level=warn shed=none",
		"time=2026-03-02 12:02:00.000 level=warn shed=debug traces")
	s.want("Replicas", later,
		"time=2026-03-02 12:01:30.000 chosen=40 wanted=40 cost_max=<nil>",
		"time=2026-03-02 12:02:00.000 chosen=66 wanted=80 cost_max=66")

	s.want("POPs by cost", m,
		"pop=nyc currency=USD cost=1.5 share=0.75 synthetic=0 requests=1e+06 per_million=1.5 conversions=3 per_conversion=0.5 maturity=provisional",
		"pop=fra currency=USD cost=0.5 share=0.25 synthetic=0 requests=1e+06 per_million=0.5 conversions=2 per_conversion=0.25 maturity=final",
		"pop=sin currency= cost=<nil> share=<nil> synthetic=<nil> requests=1e+06 per_million=<nil> conversions=1 per_conversion=<nil> maturity=final")
	s.want("Edge cost by POP", with("pop", "fra"), "time=2026-03-02 12:00:00 pop=fra currency=USD cost=0.5 provisional=<nil>")
	s.want("Edge cost per conversion", m,
		"time=2026-03-02 12:00:00 currency=USD cost=0.25 provisional=<nil>",
		"time=2026-03-02 12:01:00 currency=USD cost=<nil> provisional=0.5")
	s.want("Creators by cost", with("creator", "ada"),
		"creator=ada currency=USD drops=1 cost=2 outside_drops=0 requests=2e+06 conversions=5 per_conversion=0.4 maturity=provisional",
		"creator=ada currency= drops=1 cost=<nil> outside_drops=<nil> requests=1e+06 conversions=1 per_conversion=<nil> maturity=final")
	s.find("Creators by cost", m, "creator=(none) currency=USD drops=0 cost=0.25 outside_drops=0.25")
	s.find("Decisions on cost", m, "time=2026-03-02 12:02:00.000 topic=pace chosen=slow previous=1 value=0.9 reason=because spent=180 projected=1140 budget=500 currency=USD")
	s.find("Decisions on cost", free, "time=<nil> topic=none")
	testBadChoices(s, "droplift-cost", m)

	// What was decided last holds as far as there are data of the drop, and no further than the range.
	s.edgeCost("m", "fra", start+600_000, "final", "USD", "500000000", 2)
	s.want("Pace", m, "time=2026-03-02 12:00:00 pace=1", "time=2026-03-02 12:01:00 pace=1", "time=2026-03-02 12:02:00 pace=0.9", "time=2026-03-02 12:10:00 pace=0.9")
	later.To = start + 300_000
	s.want("Replicas", later,
		"time=2026-03-02 12:01:30.000 chosen=40 wanted=40 cost_max=<nil>",
		"time=2026-03-02 12:02:00.000 chosen=66 wanted=80 cost_max=66",
		"time=2026-03-02 12:05:00.000 chosen=66 wanted=80 cost_max=66")
}

// testBadChoices asks every panel for what is not there; none may fail, and of an unknown drop nothing is known.
func testBadChoices(s server, uid string, v Vars) {
	s.t.Helper()
	all, err := All()
	if err != nil {
		s.t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(d Dashboard) bool { return d.UID() == uid })
	strange := v
	strange.Values = map[string][]string{"drop": {`no'drop"\🦊`}, "creator": {`ada', '\`}, "pop": {"שלום"}, "currency": {"ع€"}}
	empty, future := v, v
	empty.To = empty.From
	future.From, future.To = end+1000*day, end+1001*day
	says := []string{"Held back"} // of creators, whatever the drop
	for _, p := range all[at].Panels() {
		if rows := s.run(p.Title, strange).Data; len(rows) > 0 && !slices.Contains(says, p.Title) {
			s.t.Errorf("panel %q of an unknown drop: %v", p.Title, rows)
		}
		s.run(p.Title, empty)
		s.run(p.Title, future)
	}
}

-- purpose: Refunds and chargebacks of a drop over time, at their own time, as the ledger posted them.
-- grain: One row per step and currency with money.
-- units: Major units of currency, negative; sales positive for scale. returned is refunds plus chargebacks in the reporting currency, whose code is reporting, at the rate of its day; 0 without a rate.
-- maturity: Final; later money back is further rows.
-- param drop String: drop id.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
WITH ifNull((SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency'), '') AS reporting
SELECT
    toStartOfInterval(p.event_time, toIntervalSecond({step_s:Int64})) AS time,
    p.currency AS currency,
    reporting,
    sumIf(p.amount, p.type = 'completed') / exp10(any(c.exponent)) AS sales,
    -sumIf(p.amount, p.type = 'refunded') / exp10(any(c.exponent)) AS refunds,
    -sumIf(p.amount, p.type = 'chargeback') / exp10(any(c.exponent)) AS chargebacks,
    sumIf(-p.amount * if(p.currency = reporting, 1, toFloat64(r.rate)), p.type != 'completed') / exp10(any(c.exponent)) AS returned
FROM (SELECT type, event_time, toDate(event_time) AS day, currency, amount FROM money_posted FINAL
      WHERE type IN ('completed', 'refunded', 'chargeback') AND drop_id = {drop:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}) AS p
INNER JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = p.currency
ASOF LEFT JOIN (SELECT base, date, rate FROM fx_rates FINAL WHERE quote = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS r
    ON r.base = p.currency AND p.day >= r.date
WHERE (has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, p.currency))
GROUP BY time, currency
ORDER BY time, currency

-- purpose: Refunds and chargebacks of a drop over time, at their own time, as the ledger posted them.
-- grain: One row per step and currency with money.
-- units: Major units of currency, negative; sales positive for scale.
-- maturity: Final; later money back is further rows.
-- param drop String: drop id.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
SELECT
    toStartOfInterval(p.event_time, toIntervalSecond({step_s:Int64})) AS time,
    p.currency AS currency,
    sumIf(p.amount, p.type = 'completed') / exp10(any(c.exponent)) AS sales,
    -sumIf(p.amount, p.type = 'refunded') / exp10(any(c.exponent)) AS refunds,
    -sumIf(p.amount, p.type = 'chargeback') / exp10(any(c.exponent)) AS chargebacks
FROM (SELECT type, event_time, currency, amount FROM money_posted FINAL
      WHERE type IN ('completed', 'refunded', 'chargeback') AND drop_id = {drop:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}) AS p
INNER JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = p.currency
WHERE (has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, p.currency))
GROUP BY time, currency
ORDER BY time, currency

-- purpose: Net revenue of creators over time, refunds and chargebacks at their own time: the ten creators with the most sales in the range.
-- grain: One row per step, creator and currency with money.
-- units: Major units of currency. reported is the same in the reporting currency, whose code is reporting, at the rate of its day; 0 without a rate.
-- maturity: As of now: refunds and chargebacks may still come.
-- param creators Array(String): creator ids; an element * stands for all.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
WITH ifNull((SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency'), '') AS reporting,
posted AS
(
    SELECT creator_id, currency, event_time, toDate(event_time) AS day, if(type = 'completed', amount, -amount) AS signed
    FROM money_posted FINAL
    WHERE type IN ('completed', 'refunded', 'chargeback') AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}
      AND (has({creators:Array(String)}, '*') OR has({creators:Array(String)}, creator_id)) AND (has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, currency))
)
SELECT toStartOfInterval(p.event_time, toIntervalSecond({step_s:Int64})) AS time, p.creator_id AS creator, p.currency AS currency, reporting, sum(p.signed) / exp10(any(c.exponent)) AS net,
    sum(p.signed * if(p.currency = reporting, 1, toFloat64(r.rate))) / exp10(any(c.exponent)) AS reported
FROM posted AS p
INNER JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = p.currency
ASOF LEFT JOIN (SELECT base, date, rate FROM fx_rates FINAL WHERE quote = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS r
    ON r.base = p.currency AND p.day >= r.date
WHERE p.creator_id IN (SELECT creator_id FROM posted GROUP BY creator_id ORDER BY count() DESC, creator_id LIMIT 10)
GROUP BY time, creator, currency
ORDER BY time, creator, currency

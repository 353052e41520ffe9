-- purpose: Net revenue of creators over time, refunds and chargebacks at their own time: the ten creators with the most sales in the range.
-- grain: One row per step, creator and currency with money.
-- units: Major units of currency.
-- maturity: As of now: refunds and chargebacks may still come.
-- param creators Array(String): creator ids; an element * stands for all.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
WITH posted AS
(
    SELECT creator_id, currency, event_time, if(type = 'completed', amount, -amount) AS signed
    FROM money_posted FINAL
    WHERE type IN ('completed', 'refunded', 'chargeback') AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}
      AND (has({creators:Array(String)}, '*') OR has({creators:Array(String)}, creator_id)) AND (has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, currency))
)
SELECT toStartOfInterval(p.event_time, toIntervalSecond({step_s:Int64})) AS time, p.creator_id AS creator, p.currency AS currency, sum(p.signed) / exp10(any(c.exponent)) AS net
FROM posted AS p
INNER JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = p.currency
WHERE p.creator_id IN (SELECT creator_id FROM posted GROUP BY creator_id ORDER BY count() DESC, creator_id LIMIT 10)
GROUP BY time, creator, currency
ORDER BY time, creator, currency

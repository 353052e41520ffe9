-- purpose: Events about a drop's money that were parked, refused, or posted with an alarm, newest first.
-- grain: One row per event and outcome, the newest 100 of the range; one that says so when there is none.
-- units: amount in major units of currency; time in UTC, event time.
-- maturity: parked and unknown_split may be posted since; the others are final.
-- param drop String: drop id.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    if(e.k = 0, NULL, e.event_time) AS time,
    if(e.k = 0, 'none', e.outcome) AS outcome,
    e.type AS type, e.checkout_id AS checkout, e.currency AS currency,
    if(e.k = 0, NULL, e.amount / exp10(c.exponent)) AS amount,
    e.detail AS detail
FROM (SELECT 1 AS k FROM drops FINAL WHERE drop_id = {drop:String}) AS d
LEFT JOIN
(
    SELECT 1 AS k, x.event_time, toString(x.outcome) AS outcome, toString(x.type) AS type, x.checkout_id, toString(x.currency) AS currency, x.amount, x.detail
    FROM money_exceptions AS x FINAL
    WHERE x.drop_id = {drop:String} AND x.event_time >= {from:DateTime64(3,'UTC')} AND x.event_time < {to:DateTime64(3,'UTC')}
      AND (has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, x.currency))
    ORDER BY x.event_time DESC, x.checkout_id, x.type
    LIMIT 100
) AS e USING (k)
LEFT JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS c ON c.code = e.currency
ORDER BY time DESC, checkout, type

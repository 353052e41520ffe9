-- purpose: Payouts to the drop's participants: what payment rails were told to pay, and whether they did; mismatched, double and unknown are alarms.
-- grain: One row per instruction, the newest 100; one that says so when there is none.
-- units: amount and paid in major units of currency; as_of in UTC is the event time that released it.
-- maturity: Column status: open is not paid yet, settled is final.
-- param drop String: drop id.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
SELECT
    if(s.k = 0, 'no payout has been instructed: what was earned is still held', s.status) AS status,
    s.participant AS participant, s.currency AS currency,
    if(s.k = 0, NULL, s.amount / exp10(c.exponent)) AS amount,
    if(s.k = 0, NULL, s.paid / exp10(c.exponent)) AS paid,
    if(s.k = 0, NULL, s.as_of) AS as_of,
    s.id AS id
FROM (SELECT 1 AS k FROM drops FINAL WHERE drop_id = {drop:String}) AS d
LEFT JOIN
(
    SELECT 1 AS k, toString(l.status) AS status, toString(l.participant) AS participant, toString(l.currency) AS currency, l.amount, l.paid, l.as_of, l.id
    FROM settlements_latest AS l
    WHERE l.participant IN (SELECT arrayJoin(arrayFlatten(split_participant)) FROM drops FINAL WHERE drop_id = {drop:String})
      AND (has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, l.currency))
    ORDER BY l.status IN ('open', 'settled'), l.as_of DESC, l.id
    LIMIT 100
) AS s USING (k)
LEFT JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS c ON c.code = s.currency
ORDER BY status IN ('open', 'settled'), as_of DESC, id

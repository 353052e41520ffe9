-- purpose: Money of a drop that the ledger does not hold, or holds otherwise, by what became of it; droplift query settlement_open names each event.
-- grain: One row per state, reason, type and currency, the largest 50; one that says so when all is posted.
-- units: amount in major units of currency, refunds and chargebacks negative; oldest in UTC, by arrival.
-- maturity: As of now; parked is posted once its sale or its shares come, unaccounted and stray may be in flight.
-- param drop String: drop id.
SELECT
    if(o.k = 0, 'all posted', o.state) AS state,
    o.reason AS reason, o.type AS type, o.currency AS currency, o.events AS events,
    if(o.k = 0, NULL, o.amount / exp10(c.exponent)) AS amount,
    if(o.k = 0, NULL, o.oldest) AS oldest
FROM (SELECT 1 AS k FROM drops FINAL WHERE drop_id = {drop:String}) AS d
LEFT JOIN
(
    SELECT 1 AS k, toString(m.state) AS state, e.outcome AS reason, toString(m.type) AS type, reinterpretAsString(m.code) AS currency, count() AS events,
        sum(if(m.state = 'stray', m.posted_amount, m.fact_amount)) AS amount, min(m.newest) AS oldest
    FROM (SELECT * FROM drop_money(drop = {drop:String}) WHERE state != 'posted' OR fact_amount != posted_amount) AS m
    LEFT JOIN
    (
        SELECT key, argMax(toString(x.outcome), (partition, height, number)) AS outcome
        FROM money_exceptions AS x
        WHERE x.outcome NOT IN ('key_conflict', 'finer_than_psp')
        GROUP BY key
    ) AS e ON e.key = m.key
    GROUP BY state, reason, type, currency
    ORDER BY abs(amount) DESC, state, type, currency
    LIMIT 50
) AS o USING (k)
LEFT JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS c ON c.code = o.currency
ORDER BY events DESC, state, type, currency

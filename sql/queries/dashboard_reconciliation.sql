-- purpose: Does the ledger hold what was sold? Posted, parked, refused and dead-lettered money of a drop against its checkout events (DOMAIN 8.3); red is a difference, or a ledger that does not sum to 0.
-- grain: One row per currency.
-- units: Major units of currency: sales positive; refunds and chargebacks negative. difference is events less posted, parked, refused, dead_lettered and in_flight, and must be 0, as must ledger_sum over all postings. wrong counts events that stand on one side only, or with another amount.
-- maturity: As of now. parked may be posted later; what is younger than the grace and on one side only is in_flight.
-- param drop String: drop id.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param grace_s UInt32 = 60: age in seconds below which an event on one side only is in flight.
SELECT
    m.currency AS currency,
    m.facts / exp10(c.exponent) AS events,
    m.posted / exp10(c.exponent) AS posted,
    m.parked / exp10(c.exponent) AS parked,
    m.refused / exp10(c.exponent) AS refused,
    m.dead_lettered / exp10(c.exponent) AS dead_lettered,
    m.in_flight / exp10(c.exponent) AS in_flight,
    (m.facts - m.posted - m.parked - m.refused - m.dead_lettered - m.in_flight) / exp10(c.exponent) AS difference,
    m.wrong AS wrong,
    l.total / exp10(c.exponent) AS ledger_sum
FROM
(
    SELECT
        reinterpretAsString(code) AS currency,
        sum(fact_amount) AS facts,
        sum(posted_amount) AS posted,
        sumIf(fact_amount, state = 'parked') AS parked,
        sumIf(fact_amount, state = 'refused') AS refused,
        sumIf(fact_amount, state = 'dead_lettered') AS dead_lettered,
        sumIf(fact_amount - posted_amount, fresh) AS in_flight,
        countIf(state IN ('unaccounted', 'stray') AND NOT fresh OR state = 'posted' AND fact_amount != posted_amount) AS wrong
    FROM
    (
        -- Arrival and posting are by the wall clock, whatever the events' own time.
        SELECT *, state IN ('unaccounted', 'stray') AND newest > now64(3, 'UTC') - toIntervalSecond({grace_s:UInt32}) AS fresh
        FROM drop_money(drop = {drop:String})
    )
    GROUP BY code
) AS m
LEFT JOIN (SELECT toString(p.currency) AS currency, sum(arraySum(p.amounts)) AS total FROM money_posted AS p FINAL WHERE p.drop_id = {drop:String} GROUP BY currency) AS l
    ON l.currency = m.currency
INNER JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = m.currency
WHERE (has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, m.currency))
ORDER BY currency

-- purpose: Does the ledger hold what was sold, drop by drop? Posted, parked, refused and dead-lettered money against the stored checkout events (DOMAIN 8.3).
-- grain: One row per drop and currency.
-- units: Minor units of currency: sales positive; refunds and chargebacks negative. difference must be 0.
-- maturity: As of now. parked may be posted later; what is younger than the grace and only on one side is in_flight.
-- param drop String = : drop id; empty for all.
-- param grace_s UInt32 = 60: age in seconds below which an event on one side only is in flight.
SELECT
    drop_id,
    currency,
    sumIf(posted_amount, type = 'completed' AND state = 'posted') AS sales,
    sumIf(posted_amount, type = 'refunded' AND state = 'posted') AS refunds,
    sumIf(posted_amount, type = 'chargeback' AND state = 'posted') AS chargebacks,
    sum(fact_amount) AS facts,
    sum(posted_amount) AS posted,
    sumIf(fact_amount, state = 'parked') AS parked,
    sumIf(fact_amount, state = 'refused') AS refused,
    sumIf(fact_amount, state = 'dead_lettered') AS dead_lettered,
    sumIf(fact_amount - posted_amount, fresh) AS in_flight,
    facts - posted - parked - refused - dead_lettered - in_flight AS difference,
    countIf(state = 'posted') AS transactions,
    countIf(state = 'parked') AS parked_events,
    countIf(state = 'refused') AS refused_events,
    countIf(state IN ('unaccounted', 'stray') AND NOT fresh OR state = 'posted' AND fact_amount != posted_amount) AS wrong_events
FROM
(
    SELECT *, state IN ('unaccounted', 'stray') AND newest > now64(3, 'UTC') - toIntervalSecond({grace_s:UInt32}) AS fresh
    FROM ledger_reconciliation
    WHERE {drop:String} = '' OR drop_id = {drop:String}
)
GROUP BY drop_id, currency
ORDER BY drop_id, currency

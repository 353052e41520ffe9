-- purpose: Whether the ledger holds what was sold: balanced when in every currency the events less the ledger come to 0 and the ledger sums to 0, on its way while an event of the last minute stands on one side only (DOMAIN 8.3).
-- grain: One row, or none for a drop without money.
-- units: state is balanced, on its way or DIFFERENCE; currencies that differ, and events that stand on one side only or with another amount, are counts; parked and refused count events.
-- maturity: As of now. parked may be posted later.
-- param drop String: drop id.
-- param grace_s UInt32 = 60: age in seconds below which an event on one side only is on its way.
SELECT
    multiIf(wrong > 0 OR differ > 0 OR unbalanced > 0, 'DIFFERENCE', fresh > 0, 'on its way', 'balanced') AS state,
    count() AS currencies,
    countIf(m.gap != 0) AS differ,
    sum(m.wrong) AS wrong,
    (SELECT countIf(total != 0) FROM (SELECT sum(arraySum(p.amounts)) AS total FROM money_posted AS p FINAL WHERE p.drop_id = {drop:String} GROUP BY p.currency)) AS unbalanced,
    sum(m.fresh) AS fresh,
    sum(m.parked) AS parked,
    sum(m.refused) AS refused
FROM
(
    SELECT
        sumIf(fact_amount - posted_amount, NOT young AND state NOT IN ('parked', 'refused', 'dead_lettered')) AS gap,
        countIf(state IN ('unaccounted', 'stray') AND NOT young OR state = 'posted' AND fact_amount != posted_amount) AS wrong,
        countIf(young) AS fresh,
        countIf(state = 'parked') AS parked,
        countIf(state = 'refused') AS refused
    FROM
    (
        -- Arrival and posting are by the wall clock, whatever the events' own time.
        SELECT *, state IN ('unaccounted', 'stray') AND newest > now64(3, 'UTC') - toIntervalSecond({grace_s:UInt32}) AS young
        FROM drop_money(drop = {drop:String})
    )
    GROUP BY code
) AS m
HAVING currencies > 0

-- purpose: Cohorted lifetime value: cumulative net revenue per member by age since acquisition (DOMAIN 3.1).
-- grain: One row per cohort and age, ages 0 to max_age, including ages without a transaction.
-- units: net, gross, refunds and chargebacks in minor units of reporting_currency, cumulative; ltv in major units per member, non-payers included.
-- maturity: A cell is mature when watermark >= cohort_end + (age + 1) periods; immature cells are NULL, never carried forward.
-- param cohort String = week: week (ISO, UTC), month, drop (first drop) or creator (first creator). Members are acquired at their first event of that sort.
-- param dating String = refund: refund counts a refund when it happened (append-only); purchase on the purchase's day (restates).
-- param age String = member: member is floor((time - acquired) / period_ms); calendar_month is the difference of calendar months.
-- param period_ms Int64 = 604800000: length of one age step, for member ages.
-- param max_age UInt16 = 8: last age.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
WITH
    (SELECT if({watermark_ms:Int64} > 0, fromUnixTimestamp64Milli({watermark_ms:Int64}, 'UTC'), stored)
     FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks)) AS now_watermark,
    (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency') AS reporting,
    (SELECT max(exponent) FROM currencies WHERE code = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS digits,
    acquired_members AS
    (
        SELECT
            player_id,
            multiIf({cohort:String} = 'drop', first_drop_time, {cohort:String} = 'creator', first_creator_time, first_activity) AS acquired,
            multiIf({cohort:String} = 'drop', first_drop,
                    {cohort:String} = 'creator', first_creator,
                    {cohort:String} = 'month', formatDateTime(first_activity, '%Y-%m'),
                    formatDateTime(first_activity, '%G-W%V')) AS cohort
        FROM members
        WHERE cohort != ''
    ),
    sizes AS
    (
        SELECT
            c.cohort AS cohort,
            count() AS members,
            multiIf({cohort:String} = 'week', toDateTime64(toStartOfWeek(min(c.acquired), 1), 3, 'UTC'),
                    {cohort:String} = 'month', toDateTime64(toStartOfMonth(min(c.acquired)), 3, 'UTC'),
                    min(c.acquired)) AS cohort_start,
            multiIf({cohort:String} = 'week', cohort_start + INTERVAL 7 DAY,
                    {cohort:String} = 'month', cohort_start + INTERVAL 1 MONTH,
                    greatest(max(c.acquired) + INTERVAL 1 MILLISECOND, any(d.ends))) AS cohort_end
        FROM acquired_members AS c
        LEFT JOIN (SELECT toString(drop_id) AS drop_id, ends FROM drops FINAL WHERE {cohort:String} = 'drop') AS d ON d.drop_id = c.cohort
        GROUP BY cohort
    ),
    cells AS
    (
        SELECT
            c.cohort AS cohort,
            if({age:String} = 'calendar_month',
               toInt64(dateDiff('month', c.acquired, moment)),
               intDiv(toUnixTimestamp64Milli(moment) - toUnixTimestamp64Milli(c.acquired), {period_ms:Int64})) AS age,
            sumIf(p.amount_reporting, p.type = 'completed') AS gross,
            -sumIf(p.amount_reporting, p.type = 'refunded') AS refunds,
            -sumIf(p.amount_reporting, p.type = 'chargeback') AS chargebacks
        FROM
        (
            SELECT player_id, type, original_time, amount_reporting,
                   if({dating:String} = 'purchase', original_time, effective_time) AS moment
            FROM purchases FINAL
            WHERE amount_reporting IS NOT NULL
        ) AS p
        INNER JOIN acquired_members AS c ON c.player_id = p.player_id
        WHERE p.original_time >= c.acquired
        GROUP BY cohort, age
    )
SELECT
    g.cohort AS cohort,
    g.cohort_start AS cohort_start,
    g.cohort_end AS cohort_end,
    g.members AS members,
    g.age AS age,
    g.mature AS mature,
    if(g.mature, sum(ifNull(x.gross, 0)) OVER ages, NULL) AS gross,
    if(g.mature, sum(ifNull(x.refunds, 0)) OVER ages, NULL) AS refunds,
    if(g.mature, sum(ifNull(x.chargebacks, 0)) OVER ages, NULL) AS chargebacks,
    gross - refunds - chargebacks AS net,
    net / g.members / exp10(digits) AS ltv,
    reporting AS reporting_currency,
    now_watermark AS watermark
FROM
(
    SELECT
        s.cohort AS cohort, s.members AS members, s.cohort_start AS cohort_start, s.cohort_end AS cohort_end,
        toInt64(arrayJoin(range(toUInt32({max_age:UInt16}) + 1))) AS age,
        now_watermark >= if({age:String} = 'calendar_month',
                            toDateTime64(addMonths(toStartOfMonth(s.cohort_end - INTERVAL 1 MILLISECOND), age + 1), 3, 'UTC'),
                            addMilliseconds(s.cohort_end, (age + 1) * {period_ms:Int64})) AS mature
    FROM sizes AS s
) AS g
LEFT JOIN cells AS x ON x.cohort = g.cohort AND x.age = g.age
WINDOW ages AS (PARTITION BY g.cohort ORDER BY g.age)
ORDER BY cohort_start, cohort, age

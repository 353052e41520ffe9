-- topic: cohorts
-- purpose: Repeat-purchase curve: which share of a cohort's buyers has bought again by each age since the first purchase.
-- grain: One row per cohort of buyers and age, ages 0 to max_age.
-- units: n buyers; repeaters have bought on a second UTC day by the end of that age (purchases of one day are one); rate in [0, 1] with its 95 % Wilson interval.
-- maturity: A cell is mature when watermark >= cohort_end + (age + 1) periods; repeaters and rate of immature cells are NULL.
-- param cohort String = week: week (ISO, UTC), drop or creator of the first purchase.
-- param period_ms Int64 = 604800000: length of one age step.
-- param max_age UInt16 = 8: last age.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
WITH
    1.959963984540054 AS z,
    (SELECT if({watermark_ms:Int64} > 0, fromUnixTimestamp64Milli({watermark_ms:Int64}, 'UTC'), stored)
     FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks)) AS now_watermark
SELECT
    c.cohort AS cohort,
    c.cohort_start AS cohort_start,
    c.n AS n,
    a.age AS age,
    now_watermark >= addMilliseconds(c.cohort_end, (a.age + 1) * {period_ms:Int64}) AS mature,
    if(mature, countEqual(arrayMap(x -> x <= a.age, c.repeat_ages), 1), NULL) AS repeaters,
    repeaters / c.n AS rate,
    if(rate IS NULL, NULL, greatest(0, (rate + z * z / (2 * n)) / (1 + z * z / n) - z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))) AS rate_low,
    if(rate IS NULL, NULL, least(1, (rate + z * z / (2 * n)) / (1 + z * z / n) + z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))) AS rate_high,
    now_watermark AS watermark
FROM
(
    SELECT
        multiIf({cohort:String} = 'drop', b.first_drop, {cohort:String} = 'creator', b.first_creator, formatDateTime(b.first_purchase, '%G-W%V')) AS cohort,
        count() AS n,
        if({cohort:String} = 'week', toDateTime64(toStartOfWeek(min(b.first_purchase), 1), 3, 'UTC'), min(b.first_purchase)) AS cohort_start,
        if({cohort:String} = 'week', cohort_start + INTERVAL 7 DAY, max(b.first_purchase) + INTERVAL 1 MILLISECOND) AS cohort_end,
        groupArrayIf(intDiv(toUnixTimestamp64Milli(assumeNotNull(b.second_purchase)) - toUnixTimestamp64Milli(b.first_purchase), {period_ms:Int64}), b.second_purchase IS NOT NULL) AS repeat_ages
    FROM buyers AS b
    GROUP BY cohort
    HAVING cohort != ''
) AS c
CROSS JOIN (SELECT toInt64(arrayJoin(range(toUInt32({max_age:UInt16}) + 1))) AS age) AS a
ORDER BY cohort_start, cohort, age

-- topic: cohorts
-- purpose: How unevenly lifetime value is spread over the members of each acquisition week at one age: what stands beside the mean.
-- grain: One row per acquisition ISO week (UTC).
-- units: mean, median and winsorised_mean in major units of reporting_currency per member, non-payers included; top_share is the share of net revenue from the top 1 % of members.
-- maturity: Mature cohorts only: watermark >= cohort_end + (age + 1) periods.
-- param age UInt16 = 0: age in periods up to and including which revenue counts, refund-dated.
-- param period_ms Int64 = 604800000: length of one age step.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
WITH
    (SELECT if({watermark_ms:Int64} > 0, fromUnixTimestamp64Milli({watermark_ms:Int64}, 'UTC'), stored)
     FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks)) AS now_watermark,
    (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency') AS reporting,
    (SELECT exp10(max(exponent)) FROM currencies WHERE code = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS unit
SELECT
    formatDateTime(week, '%G-W%V') AS cohort,
    count() AS members,
    countIf(net > 0) AS payers,
    avg(net) / unit AS mean,
    quantileExact(0.5)(net) / unit AS median,
    arrayAvg(arrayMap(v -> least(v, quantileExact(0.99)(net)), groupArray(net))) / unit AS winsorised_mean,
    if(sum(net) > 0, arraySum(arraySlice(arrayReverseSort(groupArray(net)), 1, toInt64(ceil(count() / 100)))) / sum(net), NULL) AS top_share,
    reporting AS reporting_currency
FROM
(
    SELECT
        m.player_id AS player_id,
        toStartOfWeek(any(m.acquired), 1) AS week,
        sumIf(ifNull(p.amount_reporting, 0),
              p.original_time >= m.acquired
              AND intDiv(toUnixTimestamp64Milli(p.effective_time) - toUnixTimestamp64Milli(m.acquired), {period_ms:Int64}) <= {age:UInt16}) AS net
    FROM (SELECT player_id, first_activity AS acquired FROM members) AS m
    LEFT JOIN (SELECT player_id, effective_time, original_time, amount_reporting FROM purchases FINAL) AS p ON p.player_id = m.player_id
    GROUP BY player_id
)
WHERE now_watermark >= addMilliseconds(toDateTime64(week, 3, 'UTC') + INTERVAL 7 DAY, (toInt64({age:UInt16}) + 1) * {period_ms:Int64})
GROUP BY week
ORDER BY week

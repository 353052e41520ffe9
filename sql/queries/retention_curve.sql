-- topic: cohorts
-- purpose: Retention curve: which share of a cohort came back on each day of age, 1 to max_day.
-- grain: One row per cohort and day of age.
-- units: n members, all of them; returned had a session that began in [acquired + day, acquired + day + 1) days; rate in [0, 1] with its 95 % Wilson interval.
-- maturity: A cell is mature when watermark >= cohort_end + (day + 1) days; returned and rate of immature cells are NULL. Raw sessions are kept 90 days, so only younger ages of recent cohorts can be computed.
-- param cohort String = week: week (ISO, UTC) of acquisition, drop (first drop) or creator (first creator).
-- param max_day UInt16 = 28: last day of age.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
WITH
    1.959963984540054 AS z,
    (SELECT if({watermark_ms:Int64} > 0, fromUnixTimestamp64Milli({watermark_ms:Int64}, 'UTC'), stored)
     FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks)) AS now_watermark,
    people AS
    (
        SELECT
            player_id,
            multiIf({cohort:String} = 'drop', first_drop, {cohort:String} = 'creator', first_creator, formatDateTime(first_activity, '%G-W%V')) AS cohort,
            multiIf({cohort:String} = 'drop', first_drop_time, {cohort:String} = 'creator', first_creator_time, first_activity) AS acquired
        FROM members
        WHERE cohort != ''
    ),
    returns AS
    (
        SELECT p.cohort AS cohort, intDiv(toUnixTimestamp64Milli(e.at) - toUnixTimestamp64Milli(p.acquired), 86400000) AS day, uniqExact(p.player_id) AS returned
        FROM people AS p
        INNER JOIN
        (
            SELECT player_id, at FROM player_events
            WHERE type = 'session_start' AND player_id != '' AND NOT synthetic AND NOT quarantined
        ) AS e ON e.player_id = p.player_id
        WHERE e.at >= p.acquired
        GROUP BY cohort, day
    )
SELECT
    c.cohort AS cohort,
    c.cohort_start AS cohort_start,
    c.n AS n,
    c.day AS day,
    now_watermark >= c.cohort_end + toIntervalDay(c.day + 1) AS mature,
    if(mature, r.returned, NULL) AS returned,
    returned / n AS rate,
    if(rate IS NULL, NULL, greatest(0, (rate + z * z / (2 * n)) / (1 + z * z / n) - z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))) AS rate_low,
    if(rate IS NULL, NULL, least(1, (rate + z * z / (2 * n)) / (1 + z * z / n) + z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))) AS rate_high,
    now_watermark AS watermark
FROM
(
    SELECT
        p.cohort AS cohort,
        count() AS n,
        if({cohort:String} = 'week', toDateTime64(toStartOfWeek(min(p.acquired), 1), 3, 'UTC'), min(p.acquired)) AS cohort_start,
        if({cohort:String} = 'week', cohort_start + INTERVAL 7 DAY, max(p.acquired) + INTERVAL 1 MILLISECOND) AS cohort_end,
        toInt64(arrayJoin(range(1, toUInt32({max_day:UInt16}) + 1))) AS day
    FROM people AS p
    GROUP BY cohort
) AS c
LEFT JOIN returns AS r ON r.cohort = c.cohort AND r.day = c.day
ORDER BY cohort_start, cohort, day

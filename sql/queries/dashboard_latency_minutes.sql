-- purpose: Minutes of a drop as points: their landing latency and their conversion, each less the mean of its bin of the drop's age, so that the rush of the opening does not pass for an effect. Observational.
-- grain: One row per minute in which enough players landed, and who have had the horizon's time to convert; at most the newest 3000.
-- units: latency in ms and converted in [0, 1] as distances from the mean of the minute's age bin; latency is the mean over landing requests, converted the share of the landed who converted within the horizon. landed in players.
-- maturity: Minutes whose horizon is not over at the watermark are left out.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param age_s Int64 = 1800: width of the age bins, in seconds.
-- param horizon_s Int64 = 900: time to convert that every player gets, in seconds.
-- param min_landed UInt32 = 10: players that must have landed in a minute.
WITH
    (SELECT any(starts) FROM drops FINAL WHERE drop_id = {drop:String}) AS start,
    (SELECT least(any(ends), {to:DateTime64(3,'UTC')}) FROM drops FINAL WHERE drop_id = {drop:String}) AS end,
    (SELECT least(min(passed), end) FROM (SELECT max(watermark) AS passed FROM velocity WHERE drop_id = {drop:String} GROUP BY partition)) AS reached
SELECT latency, converted, landed, minute
FROM
(
    SELECT
        v.minute AS minute,
        v.landed AS landed,
        intDiv(toUnixTimestamp(v.minute) - toUnixTimestamp(start), {age_s:Int64}) AS age,
        l.ms - avg(l.ms) OVER (PARTITION BY age) AS latency,
        v.share - avg(v.share) OVER (PARTITION BY age) AS converted
    FROM
    (
        SELECT toStartOfInterval(fromUnixTimestamp64Milli(landing, 'UTC'), toIntervalSecond(60)) AS minute, sum(p.2) AS landed, sum(p.3) / landed AS share
        FROM
        (
            -- Panes back to the landing, landed, converted: a convert counts in its landing's pane.
            SELECT toUnixTimestamp64Milli(pane_start) - p.1 * pane_ms AS landing,
                arrayJoin(arrayConcat([(toInt64(0), toInt64(landing_players), toInt64(0))],
                    arrayMap((back, n) -> (toInt64(back), toInt64(0), if(back * pane_ms <= 1000 * {horizon_s:Int64}, toInt64(n), 0)), ttc_panes, ttc_count))) AS p
            FROM velocity_latest
            WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop)) AND pane_start < end
        )
        GROUP BY minute
        HAVING minute >= start AND landed >= {min_landed:UInt32} AND minute + toIntervalSecond(60 + {horizon_s:Int64}) <= reached
    ) AS v
    INNER JOIN
    (
        SELECT toStartOfInterval(s.pane_start, toIntervalSecond(60)) AS minute,
            sum(arraySum(arrayMap((i, w) -> w * pow((1 + s.accuracy) / (1 - s.accuracy), i) * (1 + s.accuracy), s.bin_index, s.bin_weight))) / sum(s.zero + arraySum(s.bin_weight)) AS ms
        FROM latency_sketches_latest AS s
        WHERE drop_id = {drop:String} AND request = 'landing' AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop)) AND pane_start < end
        GROUP BY minute
    ) AS l ON l.minute = v.minute
)
ORDER BY minute DESC
LIMIT 3000

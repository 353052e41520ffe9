-- purpose: Correlation of landing latency with conversion, minute by minute, controlled for the drop's age (DOMAIN 5). Observational: what raises both within an age bin still passes for an effect.
-- grain: One row.
-- units: r in [-1, 1] over the minutes' distances from the means of their age bins, with its 95 % interval low to high by Fisher's z with a degree of freedom less for every bin; r_raw without that control. minutes and age bins looked at. Orange where the interval lies below 0.
-- maturity: Of the minutes whose horizon is over at the watermark; NULL with fewer than 10 degrees of freedom, and why says so.
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
SELECT
    if(enough, raw, NULL) AS r_raw,
    if(enough, controlled, NULL) AS r,
    if(enough, tanh(atanh(controlled) - 1.959963984540054 / sqrt(freedom)), NULL) AS low,
    if(enough, tanh(atanh(controlled) + 1.959963984540054 / sqrt(freedom)), NULL) AS high,
    n AS minutes,
    bins AS age_bins,
    'observational' AS label,
    if(enough, '', 'too few minutes in which enough players landed, or no spread among them') AS why
FROM
(
    SELECT count() AS n, uniqExact(age) AS bins, toInt64(n) - toInt64(bins) - 2 AS freedom,
        corrStable(ms, share) AS raw, corrStable(latency, converted) AS controlled, freedom >= 10 AND isFinite(controlled) AND abs(controlled) < 1 AS enough
    FROM
    (
        SELECT
            v.minute AS minute,
            v.landed AS landed,
            intDiv(toUnixTimestamp(v.minute) - toUnixTimestamp(start), {age_s:Int64}) AS age,
            l.ms AS ms,
            v.share AS share,
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
)

-- purpose: Time from first landing to conversion, Kaplan-Meier: who has not converted by the end of the range, the watermark, the drop's end or its selling out is censored there (DOMAIN 2.2).
-- grain: One row per duration in panes with a conversion, and one at 0.
-- units: minutes since the first landing, or since the drop's start for who landed before it; converted is 1-S in [0, 1] with its log-log 95 % interval; at_risk in players.
-- maturity: Exact for the panes published; moves as censored players convert.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
WITH
    (SELECT (toUnixTimestamp64Milli(starts), toUnixTimestamp64Milli(ends)) FROM drops FINAL WHERE drop_id = {drop:String}) AS times,
    times.1 AS start,
    times.2 AS end,
    (SELECT min(toUnixTimestamp64Milli(sold_out_at)) FROM sold_out_drops WHERE drop_id = {drop:String}) AS sold_out,
    -- Later revisions of a pane have later watermarks, so the greatest of all rows is that of the newest ones.
    (
        SELECT (greatest(max(toInt64(pane_ms)), 1), max(toUnixTimestamp64Milli(assumeNotNull(watermark))) + 1) FROM velocity
        WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
    ) AS extent,
    extent.1 AS pane,
    extent.2 AS watermark_end,
    -- The last pane that counts, and the pane of the start.
    intDiv(least(end, watermark_end, if(sold_out > 0, sold_out, end), toUnixTimestamp64Milli({to:DateTime64(3,'UTC')})) - 1, pane) * pane AS cut,
    intDiv(start, pane) * pane AS origin,
    bins AS
    (
        -- Whoever landed in a pane is censored at the end, but who converted: those are events at their time from landing to conversion.
        SELECT b.1 AS d, sum(b.2) AS events, sum(b.3) AS censored
        FROM
        (
            SELECT arrayJoin(arrayConcat(
                [(toInt64(0), toInt64(0), toInt64(0)), (intDiv(cut - greatest(at, origin), pane), toInt64(0), toInt64(landing_players))],
                arrayMap((back, n) -> (intDiv(greatest(at, origin) - greatest(at - back * width, origin), pane), toInt64(n), toInt64(0)), ttc_panes, ttc_count),
                arrayMap((back, n) -> (intDiv(cut - greatest(at - back * width, origin), pane), toInt64(0), -toInt64(n)), ttc_panes, ttc_count))) AS b
            FROM
            (
                -- Of the POPs and partitions of a pane only their sum matters.
                SELECT toUnixTimestamp64Milli(v.pane_start) AS at, toInt64(v.pane_ms) AS width, sum(v.landing_players) AS landing_players,
                    groupArrayArray(v.ttc_panes) AS ttc_panes, groupArrayArray(v.ttc_count) AS ttc_count
                FROM velocity_latest AS v
                WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop)) AND toUnixTimestamp64Milli(v.pane_start) <= cut
                GROUP BY at, width
            )
        )
        GROUP BY d
    ),
    curve AS
    (
        SELECT
            d, events, n,
            exp(sum(if(events = 0, 0, log(1 - events / n))) OVER (ORDER BY d)) AS s,
            sum(if(events = n, 0, events / (n * (n - events)))) OVER (ORDER BY d) AS greenwood
        FROM (SELECT d, events, sum(events + censored) OVER (ORDER BY d DESC) AS n FROM bins)
        WHERE n > 0
    )
SELECT
    d * pane / 60000 AS minutes,
    1 - s AS converted,
    if(s <= 0 OR s >= 1, NULL, 1 - pow(s, exp(-1.959963984540054 * sqrt(greenwood) / abs(log(s))))) AS low,
    if(s <= 0 OR s >= 1, NULL, 1 - pow(s, exp(1.959963984540054 * sqrt(greenwood) / abs(log(s))))) AS high,
    n AS at_risk
FROM curve
WHERE events > 0 OR d = 0
ORDER BY minutes

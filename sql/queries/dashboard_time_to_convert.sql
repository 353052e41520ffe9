-- purpose: Time from first landing to conversion, Kaplan-Meier: who has not converted by the end of the range, the watermark, the drop's end or its selling out is censored there (DOMAIN 2.2).
-- grain: One row per duration in panes with a conversion, and one at 0.
-- units: minutes since the first landing, or since the drop's start for who landed before it; converted is 1-S in [0, 1] with its log-log 95 % interval; at_risk in players.
-- maturity: Exact for the panes published; moves as censored players convert.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
WITH
    panes AS
    (
        SELECT toUnixTimestamp64Milli(pane_start) AS at, toInt64(pane_ms) AS width, landing_players, ttc_panes, ttc_count,
            toUnixTimestamp64Milli(assumeNotNull(watermark)) AS passed
        FROM velocity_latest
        WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
    ),
    (SELECT toUnixTimestamp64Milli(starts) FROM drops FINAL WHERE drop_id = {drop:String}) AS start,
    (SELECT toUnixTimestamp64Milli(ends) FROM drops FINAL WHERE drop_id = {drop:String}) AS end,
    (SELECT min(toUnixTimestamp64Milli(sold_out_at)) FROM sold_out_drops WHERE drop_id = {drop:String}) AS sold_out,
    (SELECT greatest(max(width), 1) FROM panes) AS pane,
    (SELECT max(passed) + 1 FROM panes) AS watermark_end,
    -- The last pane that counts, and the pane of the start.
    intDiv(least(end, watermark_end, if(sold_out > 0, sold_out, end), toUnixTimestamp64Milli({to:DateTime64(3,'UTC')})) - 1, pane) * pane AS cut,
    intDiv(start, pane) * pane AS origin,
    bins AS
    (
        SELECT d, sum(e) AS events, sum(c) AS censored
        FROM
        (
            SELECT intDiv(cut - greatest(at, origin), pane) AS d, 0 AS e, toInt64(landing_players) AS c
            FROM panes WHERE at <= cut
            UNION ALL
            SELECT intDiv(greatest(at, origin) - landing, pane) AS d, n AS e, 0 AS c
            FROM (SELECT at, greatest(at - t.1 * width, origin) AS landing, toInt64(t.2) AS n FROM panes ARRAY JOIN arrayZip(ttc_panes, ttc_count) AS t WHERE at <= cut)
            UNION ALL
            SELECT intDiv(cut - landing, pane) AS d, 0 AS e, -n AS c
            FROM (SELECT at, greatest(at - t.1 * width, origin) AS landing, toInt64(t.2) AS n FROM panes ARRAY JOIN arrayZip(ttc_panes, ttc_count) AS t WHERE at <= cut)
            UNION ALL
            SELECT 0 AS d, 0 AS e, 0 AS c FROM panes LIMIT 1
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

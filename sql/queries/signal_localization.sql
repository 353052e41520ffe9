-- topic: localization
-- purpose: How fast each language burns its budget of bad cues, window by window (DOMAIN 7.3): the windows of a drop, fitted to its length.
-- grain: One row per language and window that has min_cues; windows whose factor no outage could reach are left out.
-- units: burn_long and burn_short in multiples of the rate that lasts for the drop; burn is the smaller of both over the window's factor: above 1 it fires.
-- maturity: As of at, less settle_ms; panes may still be provisional.
-- param drop String: drop id.
-- param at DateTime64(3,'UTC'): event time as of which it is judged; nothing newer is looked at.
-- param target Float64 = 0.95: share of cues that must be good.
-- param min_cues UInt64 = 50: cues that the long window needs.
-- param settle_ms Int64 = 60000: windows end this long before at, when all is known of their cues.
WITH
    toInt64(toUnixTimestamp64Milli({at:DateTime64(3,'UTC')})) - {settle_ms:Int64} AS now_ms,
    windows AS
    (
        -- Rules are meant for drops of 24 to 48 h: shorter ones shrink and longer ones stretch the windows.
        SELECT r.1 AS severity, r.2 AS name, r.4 * least(greatest(period, 86400000), 172800000) / r.3 AS factor,
            toInt64(round(r.3 * period / least(greatest(period, 86400000), 172800000))) AS long_ms, intDiv(long_ms, 12) AS short_ms
        FROM
        (
            SELECT toUnixTimestamp64Milli(ends) - toUnixTimestamp64Milli(starts) AS period,
                arrayJoin([('page', '15m', 900000, 0.05), ('page', '1h', 3600000, 0.10), ('ticket', '6h', 21600000, 0.25)]) AS r
            FROM drops FINAL WHERE drop_id = {drop:String}
        )
        WHERE factor < 1 / (1 - {target:Float64})
    ),
    panes AS
    (
        SELECT l.language AS language, now_ms - toUnixTimestamp64Milli(l.pane_start) AS age, l.pane_ms AS pane_ms, l.expected AS expected, l.expected - l.good AS bad
        FROM localization_latest AS l
        WHERE l.drop_id = {drop:String} AND l.pane_start < {at:DateTime64(3,'UTC')} AND age >= l.pane_ms
            AND l.pane_start >= {at:DateTime64(3,'UTC')} - toIntervalMillisecond({settle_ms:Int64} + (SELECT max(long_ms) FROM windows) + 60000)
    )
SELECT
    p.language AS language, w.severity AS severity, w.name AS window,
    sumIf(p.expected, p.age <= ceil(w.long_ms / p.pane_ms) * p.pane_ms) AS cues,
    sumIf(p.bad, p.age <= ceil(w.long_ms / p.pane_ms) * p.pane_ms) / cues / (1 - {target:Float64}) AS burn_long,
    sumIf(p.expected, p.age <= ceil(w.short_ms / p.pane_ms) * p.pane_ms) AS cues_short,
    if(cues_short = 0, 0, sumIf(p.bad, p.age <= ceil(w.short_ms / p.pane_ms) * p.pane_ms) / cues_short / (1 - {target:Float64})) AS burn_short,
    any(w.factor) AS factor,
    least(burn_long, burn_short) / factor AS burn
FROM panes AS p CROSS JOIN windows AS w
GROUP BY language, severity, window
HAVING cues >= {min_cues:UInt64}
ORDER BY language, window
LIMIT 1000

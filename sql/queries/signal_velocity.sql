-- topic: conversion
-- purpose: Conversion velocity against what the drop itself leads to expect: the two periods before the window, their decay carried on (DOMAIN 2.1). It compares with no plan and no other drop.
-- grain: One row per window, once the drop is three windows old, until it ends or is sold out.
-- units: conversions within the window, and as many as expected; ratio of the two, and ratio_high: the 99.5 % upper end of what was counted over the 99.5 % lower end of what was expected, so that few counts say little.
-- maturity: As of at; panes may still be provisional.
-- param drop String: drop id.
-- param at DateTime64(3,'UTC'): event time as of which it is judged; nothing newer is looked at.
-- param windows Array(UInt32) = [5,15]: windows in minutes.
-- param period_ms Int64 = 1800000: length of each period before the window; less in a young drop.
WITH
    2.575829303548901 AS z,
    toInt64(toUnixTimestamp64Milli({at:DateTime64(3,'UTC')})) AS now_ms,
    panes AS
    (
        SELECT toUnixTimestamp64Milli(pane_start) + pane_ms AS pane_end, sum(v.conversions) AS n
        FROM velocity_latest AS v
        WHERE drop_id = {drop:String} AND pane_start >= {at:DateTime64(3,'UTC')} - toIntervalMillisecond(2 * {period_ms:Int64} + 60000 * arrayMax({windows:Array(UInt32)}))
            AND pane_start < {at:DateTime64(3,'UTC')}
        GROUP BY pane_end
        HAVING pane_end <= now_ms
    ),
    spans AS
    (
        SELECT toInt64(arrayJoin({windows:Array(UInt32)})) * 60000 AS w, least({period_ms:Int64}, intDiv(now_ms - toUnixTimestamp64Milli(d.starts) - w, 2)) AS period
        FROM (SELECT starts, ends FROM drops FINAL WHERE drop_id = {drop:String}) AS d
        WHERE now_ms <= toUnixTimestamp64Milli(d.ends) AND period >= w
            AND now_ms < (SELECT if(count() = 0, 9000000000000, min(toUnixTimestamp64Milli(sold_out_at))) FROM sold_out_drops WHERE drop_id = {drop:String})
    ),
    counted AS
    (
        SELECT s.w AS w, any(s.period) AS period,
            sumIf(p.n, p.pane_end > now_ms - s.w) AS x,
            sumIf(p.n, p.pane_end <= now_ms - s.w AND p.pane_end > now_ms - s.w - s.period) AS c2,
            sumIf(p.n, p.pane_end <= now_ms - s.w - s.period AND p.pane_end > now_ms - s.w - 2 * s.period) AS c1
        FROM spans AS s CROSS JOIN panes AS p
        GROUP BY w
    )
SELECT
    concat(toString(intDiv(w, 60000)), 'm') AS window,
    x AS conversions,
    c2 * w / period * pow(least(1, c2 / c1), (period + w) / 2 / period) AS expected,
    x / expected AS ratio,
    (x + 1) * pow(1 - 1 / (9 * (x + 1)) + z / (3 * sqrt(x + 1)), 3)
        / (expected * exp(-z * sqrt(pow(1 + (period + w) / 2 / period, 2) / c2 + pow((period + w) / 2 / period, 2) / c1))) AS ratio_high
FROM counted
WHERE c1 > 0 AND c2 > 0
ORDER BY w

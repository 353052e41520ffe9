-- topic: conversion
-- purpose: The headline of a drop's conversion velocity: peak, current, and the age at which half of the conversions so far had happened.
-- grain: One row.
-- units: Conversions per minute over W; ages in ms since the drop's start.
-- maturity: t50 is final only after the drop's end and the allowed lateness; maturity says so.
-- param drop String: drop id.
-- param window_ms Int64 = 300000: W, a multiple of hop_ms.
-- param hop_ms Int64 = 60000: distance between two evaluations, a multiple of the pane.
WITH
    (SELECT groupArray((at_ms, n)) FROM (
        SELECT toUnixTimestamp64Milli(pane_start) + any(pane_ms) AS at_ms, sum(conversions) AS n
        FROM velocity_latest WHERE drop_id = {drop:String} GROUP BY pane_start ORDER BY pane_start)) AS panes,
    arraySum(x -> x.2, panes) AS total,
    arrayFirst((x, cumulative) -> cumulative * 2 >= total, panes, arrayCumSum(x -> x.2, panes)).1 AS half_ms
SELECT
    total AS conversions,
    max(rate) AS peak_per_minute,
    argMax(t, rate) AS peak_at,
    argMax(rate, t) AS current_per_minute,
    max(t) AS current_at,
    if(total = 0, NULL, half_ms - toUnixTimestamp64Milli(any(starts))) AS t50_ms,
    if(countIf(maturity != 'final') = 0 AND max(t) >= any(ends), 'final', 'provisional') AS maturity
FROM
(
    SELECT t, starts, ends, maturity,
           conversions / (least({window_ms:Int64}, toUnixTimestamp64Milli(t) - toUnixTimestamp64Milli(starts)) / 60000) AS rate
    FROM conversion_velocity(drop = {drop:String}, window_ms = {window_ms:Int64}, hop_ms = {hop_ms:Int64})
)

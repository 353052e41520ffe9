-- topic: conversion
-- purpose: Conversion velocity of a drop: v_W(t) = C[t-W, t) / min(W, t - start) (DOMAIN 2.1).
-- grain: One row per hop from the drop's start to the newest pane.
-- units: per_minute in conversions (players' first completed checkouts) per minute; age_ms since the drop's start.
-- maturity: final when every pane of the window is final, else provisional.
-- param drop String: drop id.
-- param window_ms Int64 = 300000: W, a multiple of hop_ms.
-- param hop_ms Int64 = 60000: distance between two rows, a multiple of the pane.
SELECT
    t,
    toUnixTimestamp64Milli(t) - toUnixTimestamp64Milli(starts) AS age_ms,
    conversions,
    conversions / (least({window_ms:Int64}, age_ms) / 60000) AS per_minute,
    maturity
FROM conversion_velocity(drop = {drop:String}, window_ms = {window_ms:Int64}, hop_ms = {hop_ms:Int64})
ORDER BY t

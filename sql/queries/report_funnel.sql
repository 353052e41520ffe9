-- topic: conversion
-- purpose: The ordered funnel of a drop, landing to completed checkout, recomputed from every stored event (DOMAIN 2.1).
-- grain: One row per step.
-- units: players are distinct players whose first time at the step is not before their first time at the step before, all of it before the drop's end; who landed only after having bought counts at no step; rate is to the step before, with its 95 % Wilson interval; total_rate to the first step.
-- maturity: As of now. gap_players had a step without its ordered predecessors and are left out of the rates; alarm above a gap_share of 0.02.
-- param drop String: drop id.
WITH
    1.959963984540054 AS z,
    (SELECT ifNull(maxOrNull(ends), toDateTime64('2299-01-01', 3, 'UTC')) FROM drops FINAL WHERE drop_id = {drop:String}) AS end,
    (SELECT tuple(
        countIf(seen1 OR seen2 OR seen3 OR seen4 OR seen5),
        countIf(s1), countIf(s2), countIf(s3), countIf(s4), countIf(s5),
        countIf((seen2 AND NOT s2) OR (seen3 AND NOT s3) OR (seen4 AND NOT s4) OR (seen5 AND NOT s5)))
     FROM
     (
        SELECT
            min(p.landing) AS t1, min(p.impression) AS t2, min(p.click) AS t3, min(p.started) AS t4, min(p.completed) AS t5,
            ifNull(t1 < end, 0) AS seen1, ifNull(t2 < end, 0) AS seen2, ifNull(t3 < end, 0) AS seen3, ifNull(t4 < end, 0) AS seen4, ifNull(t5 < end, 0) AS seen5,
            seen1 AND (NOT seen5 OR ifNull(t1 <= t5, 0)) AS s1,
            s1 AND seen2 AND ifNull(t2 >= t1, 0) AS s2,
            s2 AND seen3 AND ifNull(t3 >= t2, 0) AS s3,
            s3 AND seen4 AND ifNull(t4 >= t3, 0) AS s4,
            s4 AND seen5 AND ifNull(t5 >= t4, 0) AS s5
        FROM player_drops AS p
        WHERE drop_id = {drop:String}
        GROUP BY player_id
     )) AS totals,
    [totals.2, totals.3, totals.4, totals.5, totals.6] AS steps
SELECT
    k AS step_number,
    ['landing', 'impression', 'click', 'started', 'completed'][k] AS step,
    steps[k] AS players,
    if(k = 1 OR steps[k - 1] = 0, NULL, steps[k - 1]) AS n,
    players / n AS rate,
    if(rate IS NULL, NULL, greatest(0, (rate + z * z / (2 * n)) / (1 + z * z / n) - z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))) AS rate_low,
    if(rate IS NULL, NULL, least(1, (rate + z * z / (2 * n)) / (1 + z * z / n) + z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))) AS rate_high,
    if(steps[1] = 0, NULL, players / steps[1]) AS total_rate,
    totals.7 AS gap_players,
    if(totals.1 = 0, NULL, totals.7 / totals.1) AS gap_share
FROM (SELECT arrayJoin([1, 2, 3, 4, 5]) AS k)
ORDER BY step_number

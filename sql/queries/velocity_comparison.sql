-- topic: conversion
-- purpose: A drop against an earlier one at the same age: conversions per landing view up to there, and their ratio (DOMAIN 2.3).
-- grain: One row per age of the drop, every hop_ms up to the newest pane, the drop's end or the reference's end.
-- units: conversions are players' first completed checkouts, views are landing views, both up to the age; rr is the ratio of conversions per view with its 95 % interval, which holds counting noise alone; band_low and band_high are the 10th and 90th percentile of the ratio to every one of past_drops.
-- maturity: provisional while any pane up to the age is. The band is NULL and label single_reference with fewer than 5 past drops: drops differ by creator, price and hour of day.
-- param drop String: drop id.
-- param reference String = : drop id to compare with; empty takes the newest earlier drop of the creator, or else of anybody.
-- param hop_ms Int64 = 600000: distance between two ages.
-- param min_past UInt16 = 5: past drops that a band needs.
WITH
    1.959963984540054 AS z,
    panes AS
    (
        SELECT v.drop_id AS drop_id, toUnixTimestamp64Milli(v.pane_start) + v.pane_ms - toUnixTimestamp64Milli(d.starts) AS pane_end,
               sum(v.conversions) AS x, sum(v.landing_events) AS n, countIf(v.maturity != 'final') AS provisional
        FROM velocity_latest AS v
        INNER JOIN (SELECT drop_id, starts, ends FROM drops FINAL) AS d ON d.drop_id = v.drop_id
        WHERE v.pane_start < d.ends
        GROUP BY v.drop_id, v.pane_start, v.pane_ms, d.starts
    ),
    reaches AS (SELECT drop_id, max(pane_end) AS reach FROM panes GROUP BY drop_id),
    this AS (SELECT drop_id, creator_id, starts, ends FROM drops FINAL WHERE drop_id = {drop:String}),
    earlier AS
    (
        SELECT d.drop_id AS drop_id, d.creator_id = t.creator_id AS same_creator, d.starts AS starts, r.reach AS reach
        FROM (SELECT drop_id, creator_id, starts, ends, 1 AS k FROM drops FINAL) AS d
        INNER JOIN reaches AS r ON r.drop_id = d.drop_id
        INNER JOIN (SELECT creator_id, starts, 1 AS k FROM this) AS t ON t.k = d.k
        WHERE d.drop_id != {drop:String} AND d.ends <= t.starts
    ),
    (SELECT argMax(toString(drop_id), (same_creator, starts)) FROM earlier) AS newest,
    if({reference:String} != '', {reference:String}, ifNull(newest, '')) AS chosen,
    (SELECT count() FROM earlier) AS past,
    ages AS
    (
        SELECT toInt64(arrayJoin(range(1, 1 + toUInt64(intDiv(least(
            (SELECT max(reach) FROM reaches WHERE drop_id = {drop:String}),
            (SELECT max(reach) FROM reaches WHERE drop_id = chosen)), {hop_ms:Int64}))))) * {hop_ms:Int64} AS age
    ),
    sums AS
    (
        SELECT drop_id, age, max(x_sum) AS x, max(n_sum) AS n, max(provisional_sum) AS provisional
        FROM
        (
            SELECT p.drop_id AS drop_id, p.pane_end AS pane_end,
                   sum(p.x) OVER w AS x_sum, sum(p.n) OVER w AS n_sum, sum(p.provisional) OVER w AS provisional_sum,
                   leadInFrame(p.pane_end, 1, toInt64(9000000000000)) OVER (PARTITION BY p.drop_id ORDER BY p.pane_end ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next_end
            FROM panes AS p
            WHERE p.drop_id = {drop:String} OR p.drop_id = chosen OR p.drop_id IN (SELECT drop_id FROM earlier)
            WINDOW w AS (PARTITION BY p.drop_id ORDER BY p.pane_end ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
        ) AS c
        CROSS JOIN ages AS a
        WHERE c.pane_end <= a.age AND a.age < c.next_end
        GROUP BY drop_id, age
    )
SELECT
    a.age AS age_ms,
    chosen AS reference,
    a.x AS conversions,
    a.n AS views,
    b.x AS reference_conversions,
    b.n AS reference_views,
    if(a.n > 0 AND b.n > 0 AND a.x > 0 AND b.x > 0, (a.x / a.n) / (b.x / b.n), NULL) AS rr,
    rr * exp(-z * sqrt(1 / a.x + 1 / b.x)) AS rr_low,
    rr * exp(z * sqrt(1 / a.x + 1 / b.x)) AS rr_high,
    past AS past_drops,
    if(p.ratios >= {min_past:UInt16}, p.low, NULL) AS band_low,
    if(p.ratios >= {min_past:UInt16}, p.high, NULL) AS band_high,
    if(p.ratios >= {min_past:UInt16}, 'empirical_band', 'single_reference') AS label,
    if(a.provisional + b.provisional > 0, 'provisional', 'final') AS maturity
FROM (SELECT * FROM sums WHERE drop_id = {drop:String}) AS a
INNER JOIN (SELECT * FROM sums WHERE drop_id = chosen) AS b ON b.age = a.age
LEFT JOIN
(
    SELECT o.age AS age, count() AS ratios,
           quantileExactInclusive(0.1)((m.x / m.n) / (o.x / o.n)) AS low,
           quantileExactInclusive(0.9)((m.x / m.n) / (o.x / o.n)) AS high
    FROM (SELECT * FROM sums WHERE drop_id IN (SELECT drop_id FROM earlier)) AS o
    INNER JOIN (SELECT * FROM sums WHERE drop_id = {drop:String}) AS m ON m.age = o.age
    WHERE o.x > 0 AND o.n > 0 AND m.n > 0
    GROUP BY age
) AS p ON p.age = a.age
ORDER BY age_ms

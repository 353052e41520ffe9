-- purpose: Conversion and revenue by bucket of landing latency (DOMAIN 5). Observational: peak demand raises both latency and intent; latency_loss compares within strata.
-- grain: One row per latency bucket with viewers, and per POP when by_pop is 1.
-- units: n viewers; rate with its 95 % Wilson interval; mean_ms of their landing requests; net and net_per_view by currency in minor units.
-- maturity: Provisional until every partial is closed (column closed).
-- param drop String: drop id.
-- param by_pop UInt8 = 0: 1 splits every bucket by POP.
-- param display UInt8 = 0: 1 joins the twelve storage buckets to the four of a display: edges 0, 100, 300, 800 ms.
WITH
    1.959963984540054 AS z,
    [0, 50, 100, 150, 200, 300, 400, 500, 800, 1200, 2000, 5000] AS edges,
    if({display:UInt8} = 1, [0, 0, 100, 100, 100, 300, 300, 300, 800, 800, 800, 800], edges) AS starts
SELECT
    if({by_pop:UInt8} = 1, toString(p.pop), '') AS pop,
    starts[k] AS from_ms,
    sum(p.viewers[k]) AS n,
    sum(p.conversions[k]) AS converted,
    converted / n AS rate,
    greatest(0, (rate + z * z / (2 * n)) / (1 + z * z / n) - z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))) AS rate_low,
    least(1, (rate + z * z / (2 * n)) / (1 + z * z / n) + z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))) AS rate_high,
    sum(p.latency_us[k]) / 1000 / n AS mean_ms,
    sumMap(mapFromArrays(p.money_currency, arrayMap(m -> m[k], p.money_net))) AS net,
    mapApply((c, v) -> (c, v / n), net) AS net_per_view,
    min(p.closed) = 1 AS closed
FROM attribution_latest AS p
ARRAY JOIN arrayEnumerate(p.viewers) AS k
WHERE p.drop_id = {drop:String}
GROUP BY pop, from_ms
HAVING n > 0
ORDER BY pop, from_ms

-- purpose: Conversion by bucket of landing latency (DOMAIN 5). Observational: peak demand raises both latency and intent; the loss below compares like with like.
-- grain: One row per latency bucket with viewers.
-- units: from_ms is where the bucket begins, mean_ms the mean of its landing requests; rate in [0, 1] of its n viewers with the 95 % Wilson interval low to high.
-- maturity: Column maturity; conversions of open viewers are still to come.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
WITH
    1.959963984540054 AS z,
    [0, 50, 100, 150, 200, 300, 400, 500, 800, 1200, 2000, 5000] AS edges
SELECT
    sum(p.latency_us[k]) / 1000 / n AS mean_ms,
    edges[k] AS from_ms,
    sum(p.viewers[k]) AS n,
    sum(p.conversions[k]) AS converted,
    converted / n AS rate,
    greatest(0, (rate + z * z / (2 * n) - z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))) / (1 + z * z / n)) AS low,
    least(1, (rate + z * z / (2 * n) + z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))) / (1 + z * z / n)) AS high,
    if(min(p.closed) = 1, 'final', 'provisional') AS maturity
FROM attribution_latest AS p
ARRAY JOIN arrayEnumerate(p.viewers) AS k
WHERE p.drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, p.pop))
GROUP BY k
HAVING n > 0
ORDER BY mean_ms

-- topic: latency
-- purpose: Edge latency of the landing request against conversion and revenue, by bucket (DOMAIN 5). Observational: peak demand raises both latency and intent.
-- grain: One row per latency bucket, and per POP when by_pop is 1.
-- units: n viewers with a landing sample; rate with its 95 % Wilson interval; revenue_per_view in minor units of reporting_currency, net.
-- maturity: As of now.
-- param drop String: drop id.
-- param by_pop UInt8 = 0: 1 splits every bucket by the POP that served the landing request.
WITH 1.959963984540054 AS z
SELECT
    ['[0,100)', '[100,300)', '[300,800)', '[800,inf)'][bucket] AS latency_ms,
    pop,
    count() AS n,
    countIf(converted) AS conversions,
    conversions / n AS rate,
    greatest(0, (rate + z * z / (2 * n)) / (1 + z * z / n) - z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))) AS rate_low,
    least(1, (rate + z * z / (2 * n)) / (1 + z * z / n) + z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))) AS rate_high,
    sum(net) AS revenue,
    revenue / n AS revenue_per_view,
    bucket
FROM
(
    SELECT
        v.player_id AS player_id,
        multiIf(v.first.2 < 100, 1, v.first.2 < 300, 2, v.first.2 < 800, 3, 4) AS bucket,
        if({by_pop:UInt8} = 1, v.first.3, '') AS pop,
        v.converted AS converted,
        ifNull(r.net, 0) AS net
    FROM
    (
        SELECT player_id, min(exposure) AS first, isNotNull(min(completed)) AS converted
        FROM player_drops
        WHERE drop_id = {drop:String}
        GROUP BY player_id
        HAVING first.1 < toDateTime64('2299-01-01', 3, 'UTC')
    ) AS v
    LEFT JOIN
    (
        SELECT player_id, sum(amount_reporting) AS net FROM purchases FINAL WHERE drop_id = {drop:String} GROUP BY player_id
    ) AS r ON r.player_id = v.player_id
)
GROUP BY bucket, pop
ORDER BY pop, bucket

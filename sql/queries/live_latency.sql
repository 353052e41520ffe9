-- purpose: Edge latency of landing requests by POP and minute, beside the conversions and net revenue of the viewers who landed in that minute there.
-- grain: One row per minute of the landing request and POP.
-- units: p50_ms and p95_ms over viewers' first landing requests; conversions so far; revenue in minor units of the reporting currency.
-- maturity: Conversions and revenue of recent minutes are still growing.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    toStartOfMinute(v.first.1) AS time,
    v.first.3 AS pop,
    count() AS views,
    quantile(0.5)(v.first.2) AS p50_ms,
    quantile(0.95)(v.first.2) AS p95_ms,
    countIf(v.converted) AS conversions,
    conversions / views AS conversion_rate,
    sum(ifNull(r.net, 0)) AS revenue
FROM
(
    SELECT player_id, min(exposure) AS first, isNotNull(min(completed)) AS converted
    FROM player_drops
    WHERE drop_id = {drop:String}
    GROUP BY player_id
    HAVING first.1 >= {from:DateTime64(3,'UTC')} AND first.1 < {to:DateTime64(3,'UTC')}
) AS v
LEFT JOIN
(
    SELECT player_id, sum(amount_reporting) AS net FROM purchases FINAL WHERE drop_id = {drop:String} GROUP BY player_id
) AS r ON r.player_id = v.player_id
GROUP BY time, pop
ORDER BY time, pop

-- purpose: Whether the caches were warm before a drop: what the canary requests of the ten minutes before its start met (DOMAIN 9), as droplift prewarm check counts them.
-- grain: One row per POP that answered, or that players of the drop came to; the coldest above, at most 100.
-- units: sent and hits are synthetic probe and asset requests, resent ones once; hit_ratio in [0, 1]: red below 0.99, which pages. pops_cold, of all POPs, is on every row.
-- maturity: Final once the drop has started; state says where nothing was sent.
-- param drop String: drop id.
WITH (SELECT any(starts) FROM drops FINAL WHERE drop_id = {drop:String}) AS start
SELECT
    pop,
    sum(c.sent) AS sent,
    sum(c.hits) AS hits,
    sum(c.hits) / nullIf(sum(c.sent), 0) AS hit_ratio,
    multiIf(sent = 0, 'no canary', hit_ratio >= 0.99, 'warm', 'cold') AS state,
    countIf(state = 'cold') OVER () AS pops_cold
FROM
(
    SELECT toString(pop) AS pop, 1 AS sent, hit AS hits
    FROM canary_requests FINAL
    WHERE drop_id IN ('', {drop:String}) AND at >= start - INTERVAL 10 MINUTE AND at < start
    UNION ALL
    SELECT DISTINCT toString(pop), 0, 0 FROM velocity WHERE drop_id = {drop:String}
) AS c
WHERE pop != ''
GROUP BY pop
ORDER BY hit_ratio IS NULL, hit_ratio, pop
LIMIT 100

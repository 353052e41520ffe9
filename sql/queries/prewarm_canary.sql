-- purpose: What the canary requests before a drop's start met: a cache that is warm, or not.
-- grain: One row per POP that answered.
-- units: Synthetic probe and asset requests in the ten minutes before the start, resent ones once, and the hits among them.
-- maturity: As of now.
-- param drop String: drop id.
WITH (SELECT any(starts) FROM drops FINAL WHERE drop_id = {drop:String}) AS start
SELECT pop, countIf(hit) AS hits, count() AS sent
FROM canary_requests FINAL
WHERE drop_id IN ('', {drop:String}) AND at >= start - INTERVAL 10 MINUTE AND at < start
GROUP BY pop
ORDER BY pop

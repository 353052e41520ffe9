-- purpose: What the canary requests before a drop's start met: a cache that is warm, or not.
-- grain: One row per POP that answered.
-- units: Synthetic probe and asset requests in the ten minutes before the start, and the hits among them.
-- maturity: As of now.
-- param drop String: drop id.
SELECT l.pop AS pop, countIf(l.cache = 'hit') AS hits, count() AS sent
FROM latency_events AS l
INNER JOIN (SELECT starts FROM drops FINAL WHERE drop_id = {drop:String}) AS d ON 1 = 1
WHERE l.synthetic AND l.request IN ('probe', 'asset') AND l.drop_id IN ('', {drop:String})
  AND l.at >= d.starts - INTERVAL 10 MINUTE AND l.at < d.starts
GROUP BY pop
ORDER BY pop

-- purpose: Share of a drop's edge requests that the cache answered, over time by POP.
-- grain: One row per step and POP with a request that a cache may answer.
-- units: hits in [0, 1]: answers from the cache, those past their time included; requests that bypass every cache are left out.
-- maturity: Provisional while the step's sketches can still change.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
SELECT toStartOfInterval(pane_start, toIntervalSecond({step_s:Int64})) AS time, pop, sum(s.hits + s.stale) / sum(s.hits + s.stale + s.misses) AS hits
FROM latency_sketches_latest AS s
WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
  AND pane_start >= {from:DateTime64(3,'UTC')} AND pane_start < {to:DateTime64(3,'UTC')}
GROUP BY time, pop
HAVING sum(s.hits + s.stale + s.misses) > 0
ORDER BY time, pop

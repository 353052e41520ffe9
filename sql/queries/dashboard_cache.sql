-- purpose: Share of a drop's edge requests that the cache answered, over time by POP.
-- grain: One row per POP and step; steps with fewer than min_n sampled requests are joined with those after them and share one value; a rest of fewer says nothing.
-- units: hits in [0, 1]: answers from the cache, those past their time included; requests that bypass every cache are left out.
-- maturity: Provisional while the step's sketches can still change.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
-- param min_n UInt64 = 100: samples below which a share near 1 is chance.
SELECT arrayJoin(groupArray(step.1)) AS time, pop, sum(step.3) / sum(step.4) AS hits
FROM
(
    SELECT pop, arraySort(groupArray((time, n, cached, asked))) AS steps,
        -- Of each step, the bucket that it falls in and how many samples that has by then.
        arrayFold((made, s) -> arrayPushBack(made, if(notEmpty(made) AND made[-1].2 < {min_n:UInt64}, (made[-1].1, made[-1].2 + s.2), (s.1, s.2))),
            steps, arraySlice(arrayMap(s -> (s.1, s.2), steps), 1, 0)) AS buckets
    FROM
    (
        SELECT toStartOfInterval(pane_start, toIntervalSecond({step_s:Int64})) AS time, pop,
            sum(s.samples) AS n, sum(s.hits + s.stale) AS cached, sum(s.hits + s.stale + s.misses) AS asked
        FROM latency_sketches_latest AS s
        WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
          AND pane_start >= {from:DateTime64(3,'UTC')} AND pane_start < {to:DateTime64(3,'UTC')}
          AND s.hits + s.stale + s.misses > 0
        GROUP BY time, pop
    )
    GROUP BY pop
) AS b
ARRAY JOIN steps AS step, buckets AS bucket
GROUP BY bucket.1, pop
HAVING sum(step.2) >= {min_n:UInt64}
ORDER BY time, pop

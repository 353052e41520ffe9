-- purpose: Edge latency of landing requests over time by POP, merged from sketches: never an average of percentiles (DOMAIN 5).
-- grain: One row per POP and step; steps with fewer than min_n samples are joined with those after them and share one value; a rest of fewer says nothing.
-- units: Milliseconds to the first byte, each within 1 % by the sketches' default accuracy; samples weighted by 1/sample_rate.
-- maturity: Provisional while the step's sketches can still change; dashboard_edge says which POPs have such.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
-- param min_n UInt64 = 60: samples below which a 95th percentile is one of the two slowest requests.
SELECT time, pop, values[1] AS p50, values[2] AS p95
FROM
(
    SELECT
        arrayJoin(groupArray(step.1)) AS time,
        pop,
        error,
        sum(step.3) AS zeros,
        sumMap(step.4, step.5) AS bins,
        zeros + arraySum(bins.2) AS weight,
        arrayCumSum(bins.2) AS cumulative,
        -- The bin whose cumulative weight is the first above the rank q(n - 1), as zeros come before all bins.
        arrayMap(q -> if(q * (weight - 1000) < zeros, 0.,
            pow((1 + error) / (1 - error), bins.1[arrayFirstIndex(x -> x + zeros > q * (weight - 1000), cumulative)]) * (1 + error)), [0.5, 0.95]) AS values
    FROM
    (
        SELECT pop, error, arraySort(s -> s.1, groupArray((time, n, zeros, bins.1, bins.2))) AS steps,
            -- Of each step, the bucket that it falls in and how many samples that has by then.
            arrayFold((made, s) -> arrayPushBack(made, if(notEmpty(made) AND made[-1].2 < {min_n:UInt64}, (made[-1].1, made[-1].2 + s.2), (s.1, s.2))),
                steps, arraySlice(arrayMap(s -> (s.1, s.2), steps), 1, 0)) AS buckets
        FROM
        (
            SELECT toStartOfInterval(pane_start, toIntervalSecond({step_s:Int64})) AS time, pop, accuracy AS error,
                sum(s.samples) AS n, sum(s.zero) AS zeros, sumMap(bin_index, bin_weight) AS bins
            FROM latency_sketches_latest AS s
            WHERE drop_id = {drop:String} AND request = 'landing'
              AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
              AND pane_start >= {from:DateTime64(3,'UTC')} AND pane_start < {to:DateTime64(3,'UTC')}
            GROUP BY time, pop, error
        )
        GROUP BY pop, error
    ) AS b
    ARRAY JOIN steps AS step, buckets AS bucket
    GROUP BY bucket.1, pop, error
    HAVING sum(step.2) >= {min_n:UInt64}
    ORDER BY weight DESC
    LIMIT 1 BY time, pop
)
ORDER BY time, pop

-- purpose: Edge latency of landing requests over time by POP, merged from sketches: never an average of percentiles (DOMAIN 5).
-- grain: One row per step and POP with a sample.
-- units: Milliseconds to the first byte, each within 1 % by the sketches' default accuracy; samples weighted by 1/sample_rate.
-- maturity: Provisional while the step's sketches can still change; dashboard_edge says which POPs have such.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
SELECT time, pop, values[1] AS p50, values[2] AS p95
FROM
(
    SELECT
        toStartOfInterval(pane_start, toIntervalSecond({step_s:Int64})) AS time,
        pop,
        accuracy AS error,
        sum(s.zero) AS zeros,
        sumMap(bin_index, bin_weight) AS bins,
        zeros + arraySum(bins.2) AS weight,
        arrayCumSum(bins.2) AS cumulative,
        -- The bin whose cumulative weight is the first above the rank q(n - 1), as zeros come before all bins.
        arrayMap(q -> if(q * (weight - 1000) < zeros, 0.,
            pow((1 + error) / (1 - error), bins.1[arrayFirstIndex(x -> x + zeros > q * (weight - 1000), cumulative)]) * (1 + error)), [0.5, 0.95]) AS values
    FROM latency_sketches_latest AS s
    WHERE drop_id = {drop:String} AND request = 'landing'
      AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
      AND pane_start >= {from:DateTime64(3,'UTC')} AND pane_start < {to:DateTime64(3,'UTC')}
    GROUP BY time, pop, error
    ORDER BY weight DESC
    LIMIT 1 BY time, pop
)
ORDER BY time, pop

-- purpose: What the edge answered a drop's players with at each POP, up to the end of the range: latency, and what the cache said.
-- grain: One row per POP, the busiest 100.
-- units: requests estimated (1/sample_rate) of every kind; p50 to p99 in ms over landing requests, within 1 % by the sketches' default accuracy; hits, stale and misses are shares of the requests that a cache may answer: orange below 0.95 hits, red below 0.9, when the origin takes twice what it was warmed for.
-- maturity: Column maturity. Shares are NULL where no record tells the cache's verdict.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    a.pop AS pop,
    a.requests AS requests,
    l.values[1] AS p50,
    l.values[2] AS p95,
    l.values[3] AS p99,
    a.hits / nullIf(a.cacheable, 0) AS hits,
    a.stale / nullIf(a.cacheable, 0) AS stale,
    a.misses / nullIf(a.cacheable, 0) AS misses,
    a.rate AS sample_rate,
    a.state AS maturity
FROM
(
    SELECT pop, (sum(s.zero) + sum(arraySum(s.bin_weight))) / 1000 AS requests, sum(s.hits) AS hits, sum(s.stale) AS stale, sum(s.misses) AS misses,
        hits + stale + misses AS cacheable, min(s.sample_rate) AS rate, if(countIf(s.maturity != 'final') > 0, 'provisional', 'final') AS state
    FROM latency_sketches_latest AS s
    WHERE drop_id = {drop:String} AND pane_start < {to:DateTime64(3,'UTC')} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
    GROUP BY pop
) AS a
LEFT JOIN
(
    SELECT
        pop, accuracy AS error, sum(s.zero) AS zeros, sumMap(bin_index, bin_weight) AS bins,
        zeros + arraySum(bins.2) AS weight, arrayCumSum(bins.2) AS cumulative,
        arrayMap(q -> if(q * (weight - 1000) < zeros, 0.,
            pow((1 + error) / (1 - error), bins.1[arrayFirstIndex(x -> x + zeros > q * (weight - 1000), cumulative)]) * (1 + error))::Nullable(Float64), [0.5, 0.95, 0.99]) AS values
    FROM latency_sketches_latest AS s
    WHERE drop_id = {drop:String} AND request = 'landing' AND pane_start < {to:DateTime64(3,'UTC')}
    GROUP BY pop, error
    ORDER BY weight DESC
    LIMIT 1 BY pop
) AS l ON l.pop = a.pop
ORDER BY requests DESC, pop
LIMIT 100

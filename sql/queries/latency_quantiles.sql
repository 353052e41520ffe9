-- purpose: Quantiles of edge latency, merged from sketches over partitions, POPs and panes: never an average of percentiles (DOMAIN 5).
-- grain: One row per stretch of every_minutes, and per POP when by_pop is 1.
-- units: ms, each within the relative error of the column relative_error; requests estimated (1/sample_rate), samples counted.
-- maturity: Provisional until the pane's partials are final (column final).
-- param drop String: drop id.
-- param request String = landing: what was fetched: landing, manifest, segment, api, asset or checkout.
-- param by_pop UInt8 = 0: 1 splits by POP.
-- param every_minutes UInt32 = 0: length of a stretch; 0 means the whole drop at once.
SELECT
    stretch AS from,
    row_pop AS pop,
    weight / 1000 AS requests,
    samples,
    values[1] AS p50,
    values[2] AS p90,
    values[3] AS p95,
    values[4] AS p99,
    error AS relative_error,
    lowest_rate AS sample_rate,
    final
FROM
(
    SELECT
        if({every_minutes:UInt32} = 0, toDateTime64(0, 3, 'UTC'), toStartOfInterval(pane_start, toIntervalMinute(greatest({every_minutes:UInt32}, 1)))) AS stretch,
        if({by_pop:UInt8} = 1, toString(pop), '') AS row_pop,
        accuracy AS error,
        sum(s.samples) AS samples,
        sum(s.zero) AS zeros,
        sumMap(bin_index, bin_weight) AS bins,
        zeros + arraySum(bins.2) AS weight,
        arrayCumSum(bins.2) AS cumulative,
        -- The bin whose cumulative weight is the first above the rank q(n - 1), as zeros come before all bins.
        arrayMap(q -> if(q * (weight - 1000) < zeros, 0.,
            pow((1 + error) / (1 - error), bins.1[arrayFirstIndex(x -> x + zeros > q * (weight - 1000), cumulative)]) * (1 + error)), [0.5, 0.9, 0.95, 0.99]) AS values,
        min(sample_rate) AS lowest_rate,
        min(maturity = 'final') = 1 AS final
    FROM latency_sketches_latest AS s
    WHERE drop_id = {drop:String} AND request = {request:String}
    GROUP BY stretch, row_pop, error
)
ORDER BY from, pop, relative_error

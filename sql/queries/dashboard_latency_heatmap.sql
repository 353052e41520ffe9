-- purpose: How the latency of a drop's landing requests spread over time, from the sketches' bins.
-- grain: One row per step and bucket; every bucket from the fastest to the slowest request stands in every step that has any.
-- units: Requests estimated (1/sample_rate); le is the bucket's upper bound in ms: 1, 1.5, 2, 3, 5, 7 times powers of ten. A bin of a sketch counts in the bucket that its value lies in.
-- maturity: Provisional while the step's sketches can still change.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
WITH
    [1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10000, 15000, 20000, 30000, 60000] AS bounds,
    counts AS
    (
        SELECT
            time,
            sumMap(arrayMap(i -> toUInt8(least(arrayFirstIndex(b -> pow((1 + error) / (1 - error), i) * (1 + error) <= b, bounds) + 0, 255)), merged.1), merged.2) AS bins,
            sum(zeroes) AS zeros
        FROM
        (
            -- Bins are merged before their bounds are sought: there are few bins and many sketches.
            SELECT toStartOfInterval(pane_start, toIntervalSecond({step_s:Int64})) AS time, accuracy AS error, sumMap(bin_index, bin_weight) AS merged, sum(s.zero) AS zeroes
            FROM latency_sketches_latest AS s
            WHERE drop_id = {drop:String} AND request = 'landing' AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
              AND pane_start >= {from:DateTime64(3,'UTC')} AND pane_start < {to:DateTime64(3,'UTC')}
            GROUP BY time, error
        )
        GROUP BY time
    )
SELECT
    time,
    toString(bounds[bucket]) AS le,
    (arraySum(arrayMap((b, w) -> if(if(b = 0, 29, b) = bucket, w, 0), bins.1, bins.2)) + if(bucket = 1, zeros, 0)) / 1000 AS requests
FROM
(
    SELECT time, bins, zeros,
        min(if(zeros > 0 OR empty(bins.1), 1, arrayMin(arrayMap(b -> if(b = 0, 29, b), bins.1)))) OVER () AS lowest,
        max(arrayMax(arrayMap(b -> if(b = 0, 29, b), arrayPushBack(bins.1, 1)))) OVER () AS highest
    FROM counts
)
ARRAY JOIN range(toUInt8(lowest), toUInt8(highest + 1)) AS bucket
ORDER BY time, bucket

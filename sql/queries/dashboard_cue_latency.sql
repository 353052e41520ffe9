-- topic: localization
-- purpose: How late subtitle cues are over time on the viewer's media timeline, by target language; missing cues count at the cap of 60 s.
-- grain: One row per step of the range and language with an expected cue.
-- units: Milliseconds from the start of the words to their display, quantiles within 1 %; a good cue is at most 5,000 ms late where the drop says nothing else.
-- maturity: Provisional until the panes of the step are final: late records still correct them.
-- param drop String: drop id.
-- param languages Array(String): target languages; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s UInt32: length of a step, seconds.
WITH 1.01 / 0.99 AS gamma
SELECT
    time, language,
    quantiles[1] AS p50, quantiles[2] AS p95, quantiles[3] AS p99
FROM
(
    SELECT
        toStartOfInterval(pane_start, toIntervalSecond({step_s:UInt32})) AS time, toString(language) AS language,
        sum(l.expected) AS expected, sum(latency_zero) AS zero,
        arraySort(arrayZip((sumMap(latency_index, arrayMap(n -> toUInt64(n), latency_count)) AS sketch).1, sketch.2)) AS bins,
        arrayMap(q -> if(zero > q * (expected - 1), 0., pow(gamma, arrayFirst((b, seen) -> zero + seen > q * (expected - 1), bins, arrayCumSum(bins.2)).1) * 1.01), [0.5, 0.95, 0.99]) AS quantiles
    FROM localization_latest AS l
    WHERE drop_id = {drop:String} AND (has({languages:Array(String)}, '*') OR has({languages:Array(String)}, language))
      AND pane_start >= {from:DateTime64(3,'UTC')} AND pane_start < {to:DateTime64(3,'UTC')}
    GROUP BY time, language
    HAVING expected > 0
)
ORDER BY time, language
LIMIT 20000

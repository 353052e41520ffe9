-- purpose: What is known of effects in a drop, with the grade of the evidence (DOMAIN 4): A and B are randomised and may be called caused, C assumes parallel trends, D and E are associations. What a drop changed in audience, revenue and returns has panels of its own.
-- grain: One row per estimate that claims an effect, at most 50; one that says so when there is none.
-- units: value, low and high in unit; the interval holds at confidence; NULL where the data do not suffice, and note says what is missing.
-- maturity: Column maturity: provisional may still change.
-- param drop String: drop id.
SELECT
    transform(e.grade, ['randomized_itt', 'randomized_cace', 'quasi_did', 'matched', 'descriptive'], ['A', 'B', 'C', 'D', 'E'], '–') AS grade,
    if(e.k = 0, 'no effect has been estimated', replaceAll(e.metric, '_', ' ')) AS estimate,
    arrayStringConcat(arrayMap((n, v) -> concat(n, ' ', v), mapKeys(e.part), mapValues(e.part)), ', ') AS of,
    e.value AS value, e.low AS low, e.high AS high, e.unit AS unit,
    e.why AS note, e.maturity AS maturity,
    if(e.k = 0, 'the drop has no experiment that shows one', e.label) AS words,
    e.n AS n, e.confidence AS confidence
FROM (SELECT 1 AS k FROM drops FINAL WHERE drop_id = {drop:String}) AS d
LEFT JOIN
(
    SELECT 1 AS k, * FROM
    (
        SELECT toString(s.metric) AS metric, mapSort(s.dimensions) AS part, argMax(toString(s.grade), s.revision) AS grade, argMax(toString(s.label), s.revision) AS label,
            argMax(tuple(s.value), s.revision).1 AS value, argMax(tuple(s.low), s.revision).1 AS low, argMax(tuple(s.high), s.revision).1 AS high,
            argMax(toString(s.unit), s.revision) AS unit, argMax(s.confidence, s.revision) AS confidence, argMax(s.n, s.revision) AS n,
            argMax(toString(s.maturity), s.revision) AS maturity, argMax(s.why, s.revision) AS why
        FROM estimates AS s
        WHERE s.drop_id = {drop:String} AND NOT startsWith(s.metric, 'change_')
        GROUP BY metric, part
    )
    WHERE grade != ''
    ORDER BY grade, metric, part
    LIMIT 50
) AS e USING (k)
ORDER BY grade, estimate, of

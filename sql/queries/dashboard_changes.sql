-- purpose: What the chosen drop changed in its creator's audience (followers active in a week), revenue per 1,000 followers, the same without the drop's own revenue (halo) and the return of players, as it is published once a window is complete. Only the grades from A to C speak of effects (DOMAIN 4): A and B are randomised and may be called caused, C assumes parallel trends; D and E compare groups that differed before.
-- grain: One row per outcome, window, method and whether the drop stands alone or stacked with the ones before it, the newest read-out, at most 60; one per outcome that says what is missing while nothing is published.
-- units: value, low and high in percentage points (pp) or percent of the level without the drop (%), with the interval at confidence; p is against no change, that of a permutation test where there is one; n units compared, treated of them with the drop, the offer or a purchase. NULL where no number can be given, and missing says why.
-- maturity: Column maturity: provisional rows have a window that is not complete, or stand on earlier drops alone; a later read-out replaces an earlier one as a whole.
-- param drop String: drop id.
SELECT
    o.outcome AS outcome, e.window AS window, e.scope AS scope,
    e.value AS value, e.low AS low, e.high AS high, e.unit AS unit,
    if(e.metric = '', concat('nothing is published yet: the first window is over at ', formatDateTime(o.first_over, '%Y-%m-%d %H:%i'), ' UTC'), e.why) AS missing,
    transform(e.grade, ['randomized_itt', 'randomized_cace', 'quasi_did', 'matched', 'descriptive'], ['A', 'B', 'C', 'D', 'E'], '–') AS grade,
    if(e.metric = '', 'provisional', e.maturity) AS maturity, e.words AS words,
    e.p AS p, if(e.metric = '', NULL, e.n) AS n, if(e.metric = '', NULL, e.treated) AS treated, e.method AS method, e.against AS against,
    nullIf(e.confidence, 0) AS confidence, nullIf(e.as_of, toDateTime64(0, 3, 'UTC')) AS as_of
FROM
(
    SELECT
        outcomes.1 AS position, outcomes.2 AS metric, outcomes.3 AS outcome,
        if(metric = 'change_return', addDays(ends, 2), addDays(starts, 7)) AS first_over
    FROM (SELECT starts, greatest(starts, ends) AS ends FROM drops FINAL WHERE drop_id = {drop:String} AND drop_id != '')
    ARRAY JOIN [(1, 'change_audience', 'audience'), (2, 'change_revenue', 'revenue'), (3, 'change_halo', 'halo'), (4, 'change_return', 'return')] AS outcomes
) AS o
LEFT JOIN
(
    SELECT
        toString(s.metric) AS metric, s.dimensions['horizon'] AS window, s.dimensions['scope'] AS scope, s.dimensions['method'] AS method, s.dimensions['against'] AS against,
        toString(s.grade) AS grade, toString(s.label) AS words, toString(s.maturity) AS maturity, s.why AS why, s.as_of AS as_of,
        if(s.unit = 'rel', 100, 1) AS scale, s.value * scale AS value, s.low * scale AS low, s.high * scale AS high, if(s.unit = 'rel', '%', toString(s.unit)) AS unit,
        if(s.value IS NOT NULL AND mapContains(s.details, 'permutation_p'), s.details['permutation_p'], s.p) AS p,
        s.n AS n, toUInt64(s.details['treated']) AS treated, s.confidence AS confidence
    FROM estimates AS s
    WHERE s.drop_id = {drop:String} AND s.metric IN ('change_audience', 'change_revenue', 'change_halo', 'change_return')
        AND s.revision = (SELECT max(r.revision) FROM estimates AS r WHERE r.drop_id = {drop:String} AND r.metric IN ('change_audience', 'change_revenue', 'change_halo', 'change_return'))
    -- Published again within a stage, the last one counts.
    ORDER BY s.kafka_offset DESC
    LIMIT 1 BY s.metric, s.dimensions
) AS e ON e.metric = o.metric
ORDER BY o.position, scope = 'this drop' DESC, toUInt32OrZero(extract(window, '\\d+')), grade, method, against
LIMIT 60

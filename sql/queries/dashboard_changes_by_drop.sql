-- purpose: What each creator's drops changed, drop by drop: audience (followers active in a week), revenue per 1,000 followers, halo (revenue without the drop's own) and the return of players within seven days by the strongest evidence that has a number. Only the grades from A to C speak of effects (DOMAIN 4); with many drops in view some intervals miss the truth by chance.
-- grain: One row per drop, outcome and window, each drop for itself: the 20 newest drops of the chosen creators, newest first, as far as they are published; one row for a drop that is not.
-- units: value, low and high in percentage points (pp) or percent of the level without the drop (%), with the interval at confidence; n units compared. NULL where no number can be given, and missing says why.
-- maturity: Column maturity; the newest read-out of a drop, as of as_of.
-- param creators Array(String): creator ids; an element * stands for all.
WITH
    ['change_audience', 'change_revenue', 'change_halo', 'change_return'] AS metrics,
    listed AS
    (
        SELECT toString(drop_id) AS drop_id, toString(creator_id) AS creator_id, starts
        FROM drops FINAL
        WHERE has({creators:Array(String)}, '*') OR has({creators:Array(String)}, creator_id)
        ORDER BY starts DESC, drop_id
        LIMIT 20
    )
SELECT
    d.creator_id AS creator, d.drop_id AS drop,
    if(e.metric = '', 'any', substring(e.metric, 8)) AS outcome, e.window AS window,
    e.value AS value, e.low AS low, e.high AS high, e.unit AS unit,
    if(e.metric = '', concat('nothing is published yet: the first week is over at ', formatDateTime(addDays(d.starts, 7), '%Y-%m-%d %H:%i'), ' UTC'), e.why) AS missing,
    transform(e.grade, ['randomized_itt', 'randomized_cace', 'quasi_did', 'matched', 'descriptive'], ['A', 'B', 'C', 'D', 'E'], '–') AS grade,
    if(e.metric = '', 'provisional', e.maturity) AS maturity, e.words AS words, if(e.metric = '', NULL, e.n) AS n,
    d.starts AS starts, nullIf(e.confidence, 0) AS confidence, nullIf(e.as_of, toDateTime64(0, 3, 'UTC')) AS as_of
FROM listed AS d
LEFT JOIN
(
    SELECT * FROM
    (
        SELECT
            toString(s.drop_id) AS drop_id, toString(s.metric) AS metric, s.dimensions['horizon'] AS window, s.dimensions['method'] AS method, s.dimensions['against'] AS against,
            toString(s.grade) AS grade, toString(s.label) AS words, toString(s.maturity) AS maturity, s.why AS why, s.as_of AS as_of, s.kafka_offset AS kafka_offset,
            if(s.unit = 'rel', 100, 1) AS scale, s.value * scale AS value, s.low * scale AS low, s.high * scale AS high, if(s.unit = 'rel', '%', toString(s.unit)) AS unit,
            s.n AS n, s.confidence AS confidence, s.revision AS revision, max(s.revision) OVER (PARTITION BY s.drop_id) AS newest
        FROM estimates AS s
        WHERE s.drop_id IN (SELECT drop_id FROM listed) AND s.metric IN ('change_audience', 'change_revenue', 'change_halo', 'change_return')
            AND s.dimensions['scope'] = 'this drop' AND (s.metric != 'change_return' OR s.dimensions['horizon'] = 'D7')
    )
    WHERE revision = newest
    -- Of the creator's outcomes there is one row per window. Of returns the strongest evidence with a number is shown, the plain
    -- estimate before the adjusted one. Published again within a stage, the last one counts.
    ORDER BY value IS NULL, indexOf(['randomized_itt', 'randomized_cace', 'quasi_did', 'matched', 'descriptive'], grade), method DESC, against, kafka_offset DESC
    LIMIT 1 BY drop_id, metric, window
) AS e ON e.drop_id = d.drop_id
ORDER BY starts DESC, drop, indexOf(metrics, e.metric), toUInt32OrZero(extract(window, '\\d+'))
LIMIT 200

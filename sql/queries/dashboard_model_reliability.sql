-- topic: models
-- purpose: Reliability: what was said against what came true, in ten bins with the same number of scores for champion and shadow each.
-- grain: One row per bin, in the order of what was said.
-- units: Probabilities in [0, 1]; champion and shadow are shares who churned, champion_low to champion_high the 95 % Wilson interval; perfect is what was said itself. From a sample where the range has more than 40,000.
-- maturity: Final for the rows it has; more come as labels become known, days after the score.
-- param model String = churn: model.
-- param from DateTime64(3,'UTC'): start of the range, scoring time.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param sample UInt64 = 20000: take about so many, chosen by a hash, when the range has more.
WITH
    (SELECT greatest(1, intDiv(count(), {sample:UInt64})) FROM examples
     WHERE model = {model:String} AND scored_at >= {from:DateTime64(3,'UTC')} AND scored_at < {to:DateTime64(3,'UTC')}) AS every,
    1.959963984540054 AS z
SELECT
    said,
    anyIf(toNullable(observed), role = 'champion') AS champion,
    anyIf(toNullable(greatest(0, (observed + z * z / (2 * n)) / (1 + z * z / n) - z / (1 + z * z / n) * sqrt(observed * (1 - observed) / n + z * z / (4 * n * n)))), role = 'champion') AS champion_low,
    anyIf(toNullable(least(1, (observed + z * z / (2 * n)) / (1 + z * z / n) + z / (1 + z * z / n) * sqrt(observed * (1 - observed) / n + z * z / (4 * n * n)))), role = 'champion') AS champion_high,
    anyIf(toNullable(observed), role = 'shadow') AS shadow,
    said AS perfect
FROM
(
    SELECT role, bin, count() AS n, avg(p) AS said, avg(churned) AS observed
    FROM
    (
        SELECT side.1 AS role, side.2 AS p, e.churned AS churned,
            intDiv((row_number() OVER (PARTITION BY role ORDER BY p, e.scored_at, e.player_id) - 1) * 10, count() OVER (PARTITION BY role)) AS bin
        FROM
        (
    SELECT player_id, scored_at, churned, model_version, p, shadow_version, shadow_p FROM examples
    WHERE model = {model:String} AND scored_at >= {from:DateTime64(3,'UTC')} AND scored_at < {to:DateTime64(3,'UTC')}
      AND cityHash64(player_id, scored_at) % every = 0
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY player_id, scored_at
        ) AS e
        ARRAY JOIN arrayFilter(v -> v.3 != '', [('champion', e.p, toString(e.model_version)), ('shadow', e.shadow_p, toString(e.shadow_version))]) AS side
    )
    GROUP BY role, bin
)
GROUP BY said
ORDER BY said

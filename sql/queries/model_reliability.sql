-- topic: models
-- purpose: The calibration table of a model's versions: what was said against what came true, in bins with the same number of scores.
-- grain: One row per role, version and bin, of scores whose label is known.
-- units: Probabilities; observed_low to observed_high is the 95 % Wilson interval. Equal probabilities at a bin's border may stand on both sides of it.
-- maturity: Final for the rows it has.
-- param model String = churn: model.
-- param from DateTime64(3,'UTC') = 1970-01-01: scoring times from this on.
-- param to DateTime64(3,'UTC') = 2100-01-01: and before this.
-- param bins UInt32 = 10: number of bins.
-- param sample UInt64 = 0: take about so many examples, chosen by a hash, when there are more; 0 takes all.
WITH
    (SELECT greatest(1, intDiv(count(), greatest(1, {sample:UInt64}))) FROM examples
     WHERE model = {model:String} AND scored_at >= {from:DateTime64(3,'UTC')} AND scored_at < {to:DateTime64(3,'UTC')}) AS every,
    1.959963984540054 AS z
SELECT
    role, version, bin,
    count() AS n, countIf(churned) AS churned_n,
    min(p) AS p_low, max(p) AS p_high, avg(p) AS said,
    churned_n / n AS observed,
    greatest(0, (observed + z * z / (2 * n)) / (1 + z * z / n) - z / (1 + z * z / n) * sqrt(observed * (1 - observed) / n + z * z / (4 * n * n))) AS observed_low,
    least(1, (observed + z * z / (2 * n)) / (1 + z * z / n) + z / (1 + z * z / n) * sqrt(observed * (1 - observed) / n + z * z / (4 * n * n))) AS observed_high
FROM
(
    SELECT side.1 AS role, side.2 AS version, side.3 AS p, e.churned AS churned,
        1 + intDiv((row_number() OVER (PARTITION BY role, version ORDER BY p, e.scored_at, e.player_id) - 1) * {bins:UInt32}, count() OVER (PARTITION BY role, version)) AS bin
    FROM
    (
        SELECT player_id, scored_at, churned, model_version, p, shadow_version, shadow_p FROM examples
        WHERE model = {model:String} AND scored_at >= {from:DateTime64(3,'UTC')} AND scored_at < {to:DateTime64(3,'UTC')}
          AND ({sample:UInt64} = 0 OR cityHash64(player_id, scored_at) % every = 0)
        ORDER BY kafka_partition, kafka_offset LIMIT 1 BY player_id, scored_at
    ) AS e
    ARRAY JOIN [('champion', e.model_version, e.p), ('shadow', e.shadow_version, e.shadow_p)] AS side
    WHERE side.2 != ''
)
GROUP BY role, version, bin
ORDER BY role, version, bin

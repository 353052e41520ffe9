-- topic: models
-- purpose: Whether what a model says comes true over time: the share of players who churned over the mean probability that was said.
-- grain: One row per step of scoring time, role and version, of scores whose label is known.
-- units: ratio of observed to said, 1 is perfect, above it the model says too little; low to high is the 95 % Wilson interval of the observed share over what was said. From a sample where the range has more than 40,000.
-- maturity: Final for the rows it has; more rows of a step come until its newest label is known, days after the score.
-- param model String = churn: model.
-- param from DateTime64(3,'UTC'): start of the range, scoring time.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param bucket_s UInt32: length of a step, seconds.
-- param sample UInt64 = 20000: take about so many, chosen by a hash, when the range has more.
WITH
    (SELECT greatest(1, intDiv(count(), {sample:UInt64})) FROM examples
     WHERE model = {model:String} AND scored_at >= {from:DateTime64(3,'UTC')} AND scored_at < {to:DateTime64(3,'UTC')}) AS every,
    1.959963984540054 AS z
SELECT time, voice, if(said > 0, observed / said, NULL) AS ratio,
    if(said > 0, greatest(0, (observed + z * z / (2 * n)) / (1 + z * z / n) - z / (1 + z * z / n) * sqrt(observed * (1 - observed) / n + z * z / (4 * n * n))) / said, NULL) AS low,
    if(said > 0, least(1, (observed + z * z / (2 * n)) / (1 + z * z / n) + z / (1 + z * z / n) * sqrt(observed * (1 - observed) / n + z * z / (4 * n * n))) / said, NULL) AS high
FROM
(
    SELECT toStartOfInterval(e.scored_at, toIntervalSecond({bucket_s:UInt32})) AS time, concat(side.1, ' ', side.2) AS voice,
        count() AS n, avg(side.3) AS said, avg(e.churned) AS observed
    FROM
    (
    SELECT player_id, scored_at, churned, toString(model_version) AS version, p, toString(shadow_version) AS shadow, shadow_p FROM examples
    WHERE model = {model:String} AND scored_at >= {from:DateTime64(3,'UTC')} AND scored_at < {to:DateTime64(3,'UTC')}
      AND cityHash64(player_id, scored_at) % every = 0
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY player_id, scored_at
    ) AS e
    ARRAY JOIN [('champion', e.version, e.p), ('shadow', e.shadow, e.shadow_p)] AS side
    WHERE side.2 != ''
    GROUP BY time, voice
)
ORDER BY time, voice
LIMIT 20000

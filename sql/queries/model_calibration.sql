-- topic: models
-- purpose: Whether what a model says comes true, over time: probabilities against the share of players who churned, champion and shadow.
-- grain: One row per bucket of scoring time, role and version, of scores whose label is known.
-- units: Probabilities; observed_low to observed_high is the 95 % Wilson interval; ratio is observed over said, 1 is perfect; brier is the mean squared error, log_loss and base_log_loss (always saying the bucket's own rate) in nats a row.
-- maturity: Final for the rows it has; more rows of a bucket come until its newest label is known.
-- param model String = churn: model.
-- param from DateTime64(3,'UTC') = 1970-01-01: scoring times from this on.
-- param to DateTime64(3,'UTC') = 2100-01-01: and before this.
-- param bucket_s UInt32 = 86400: length of a bucket, seconds.
-- param sample UInt64 = 0: take about so many examples, chosen by a hash, when there are more; 0 takes all.
WITH
    (SELECT greatest(1, intDiv(count(), greatest(1, {sample:UInt64}))) FROM examples
     WHERE model = {model:String} AND scored_at >= {from:DateTime64(3,'UTC')} AND scored_at < {to:DateTime64(3,'UTC')}) AS every,
    1.959963984540054 AS z
SELECT
    toStartOfInterval(e.scored_at, toIntervalSecond({bucket_s:UInt32})) AS bucket,
    side.1 AS role, side.2 AS version,
    count() AS n,
    countIf(e.churned) AS churned,
    avg(side.3) AS said,
    churned / n AS observed,
    greatest(0, (observed + z * z / (2 * n)) / (1 + z * z / n) - z / (1 + z * z / n) * sqrt(observed * (1 - observed) / n + z * z / (4 * n * n))) AS observed_low,
    least(1, (observed + z * z / (2 * n)) / (1 + z * z / n) + z / (1 + z * z / n) * sqrt(observed * (1 - observed) / n + z * z / (4 * n * n))) AS observed_high,
    if(said > 0, observed / said, NULL) AS ratio,
    said >= observed_low AND said <= observed_high AS within,
    avg(pow(side.3 - e.churned, 2)) AS brier,
    avg(-if(e.churned, log(greatest(side.3, 1e-6)), log1p(-least(side.3, 1 - 1e-6)))) AS log_loss,
    if(observed > 0 AND observed < 1, -observed * log(observed) - (1 - observed) * log(1 - observed), 0) AS base_log_loss
FROM
(
    SELECT scored_at, churned, model_version, p, shadow_version, shadow_p FROM examples
    WHERE model = {model:String} AND scored_at >= {from:DateTime64(3,'UTC')} AND scored_at < {to:DateTime64(3,'UTC')}
      AND ({sample:UInt64} = 0 OR cityHash64(player_id, scored_at) % every = 0)
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY player_id, scored_at
) AS e
ARRAY JOIN [('champion', e.model_version, e.p), ('shadow', e.shadow_version, e.shadow_p)] AS side
WHERE side.2 != ''
GROUP BY bucket, role, version
ORDER BY bucket, role, version

-- topic: models
-- purpose: What edges answered for a model over time: scores by version and reason of degradation, and how the probabilities lie.
-- grain: One row per bucket of scoring time, version and reason; a degraded answer that no model gave has an empty version.
-- units: Scores, resent ones once and synthetic ones not; probabilities.
-- maturity: Records of a bucket may still come.
-- param model String = churn: model.
-- param from DateTime64(3,'UTC') = 1970-01-01: scoring times from this on.
-- param to DateTime64(3,'UTC') = 2100-01-01: and before this.
-- param bucket_s UInt32 = 3600: length of a bucket, seconds.
-- param sample UInt64 = 0: take about so many scores, chosen by a hash, when there are more; 0 takes all.
WITH
    (SELECT greatest(1, intDiv(count(), greatest(1, {sample:UInt64}))) FROM score_events
     WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}) AS every
SELECT
    toStartOfInterval(s.event_time, toIntervalSecond({bucket_s:UInt32})) AS bucket,
    s.model_version AS version, s.degraded AS degraded,
    count() AS scores,
    uniqExact(s.player_id) AS players,
    avg(s.p) AS p_mean,
    quantileExact(0.1)(s.p) AS p10, quantileExact(0.5)(s.p) AS p50, quantileExact(0.9)(s.p) AS p90,
    countIf(s.feature_revision = 0) AS brought_features,
    countIf(s.shadow_version != '') AS shadowed
FROM
(
    SELECT id, event_time, player_id, model_version, degraded, p, feature_revision, shadow_version FROM score_events
    WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')} AND NOT synthetic AND NOT quarantined
      AND ({sample:UInt64} = 0 OR cityHash64(id) % every = 0)
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY id
) AS s
GROUP BY bucket, version, degraded
ORDER BY bucket, version, degraded

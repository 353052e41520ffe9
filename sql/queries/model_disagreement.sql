-- topic: models
-- purpose: How far champion and shadow are apart on the same vectors.
-- grain: One row per champion and shadow version.
-- units: Probabilities; correlation from -1 to 1, NULL where either does not vary; other_side is the share of scores for which they stand on different sides of the threshold.
-- maturity: As of now.
-- param model String = churn: model.
-- param from DateTime64(3,'UTC') = 1970-01-01: scoring times from this on.
-- param to DateTime64(3,'UTC') = 2100-01-01: and before this.
-- param threshold Float64 = 0.5: probability from which something is done about a player.
-- param sample UInt64 = 0: take about so many scores, chosen by a hash, when there are more; 0 takes all.
WITH
    (SELECT greatest(1, intDiv(count(), greatest(1, {sample:UInt64}))) FROM score_events
     WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}) AS every
SELECT
    count() AS scores,
    avg(s.p) AS champion_mean, avg(s.shadow_p) AS shadow_mean,
    avg(abs(s.p - s.shadow_p)) AS apart_mean,
    quantileExact(0.95)(abs(s.p - s.shadow_p)) AS apart_p95,
    max(abs(s.p - s.shadow_p)) AS apart_max,
    if(isFinite(corr(s.p, s.shadow_p)), corr(s.p, s.shadow_p), NULL) AS correlation,
    countIf((s.p >= {threshold:Float64}) != (s.shadow_p >= {threshold:Float64})) / count() AS other_side,
    s.model_version AS champion, s.shadow_version AS shadow
FROM
(
    SELECT id, model_version, shadow_version, p, shadow_p FROM score_events
    WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')} AND NOT synthetic AND NOT quarantined
      AND shadow_version != '' AND model_version != '' AND degraded = ''
      AND ({sample:UInt64} = 0 OR cityHash64(id) % every = 0)
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY id
) AS s
GROUP BY champion, shadow
ORDER BY champion, shadow

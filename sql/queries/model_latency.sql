-- topic: models
-- purpose: How long scores of a model take, champion and shadow on the same vectors.
-- grain: One row per role and version.
-- units: Microseconds of one score, without reading features and answering; scores, resent ones once and synthetic ones not.
-- maturity: As of now.
-- param model String = churn: model.
-- param from DateTime64(3,'UTC') = 1970-01-01: scoring times from this on.
-- param to DateTime64(3,'UTC') = 2100-01-01: and before this.
-- param sample UInt64 = 0: take about so many scores, chosen by a hash, when there are more; 0 takes all.
WITH
    (SELECT greatest(1, intDiv(count(), greatest(1, {sample:UInt64}))) FROM score_events
     WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}) AS every
SELECT
    side.1 AS role, side.2 AS version,
    count() AS scores,
    avg(side.3) AS mean_us,
    quantileExact(0.5)(side.3) AS p50_us, quantileExact(0.95)(side.3) AS p95_us, quantileExact(0.99)(side.3) AS p99_us,
    max(side.3) AS max_us
FROM
(
    SELECT id, model_version, shadow_version, champion_us, shadow_us FROM score_events
    WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')} AND NOT synthetic AND NOT quarantined
      AND ({sample:UInt64} = 0 OR cityHash64(id) % every = 0)
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY id
) AS s
ARRAY JOIN [('champion', s.model_version, s.champion_us), ('shadow', s.shadow_version, s.shadow_us)] AS side
WHERE side.2 != ''
GROUP BY role, version
ORDER BY role, version

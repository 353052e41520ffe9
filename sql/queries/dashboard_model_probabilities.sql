-- topic: models
-- purpose: How the probabilities that a model answered lie over time, champion and shadow on the same vectors.
-- grain: One row per step of the range, role and version.
-- units: Probabilities in [0, 1]; p10, p50 and p90 are quantiles over scores, from a sample where the range has more than 40,000.
-- maturity: Records of a step may still come.
-- param model String = churn: model.
-- param from DateTime64(3,'UTC'): start of the range, scoring time.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param bucket_s UInt32: length of a step, seconds.
-- param sample UInt64 = 20000: take about so many, chosen by a hash, when the range has more.
WITH
    (SELECT greatest(1, intDiv(count(), {sample:UInt64})) FROM score_events
     WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}) AS every
SELECT
    toStartOfInterval(s.event_time, toIntervalSecond({bucket_s:UInt32})) AS time,
    concat(side.1, ' ', side.2) AS voice,
    quantileExact(0.1)(side.3) AS p10, quantileExact(0.5)(side.3) AS p50, quantileExact(0.9)(side.3) AS p90
FROM
(
    SELECT id, event_time, toString(model_version) AS version, p, toString(shadow_version) AS shadow, shadow_p FROM score_events
    WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')} AND NOT synthetic AND NOT quarantined
      AND cityHash64(id) % every = 0
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY id
) AS s
ARRAY JOIN [('champion', s.version, s.p), ('shadow', s.shadow, s.shadow_p)] AS side
WHERE side.2 != ''
GROUP BY time, voice
ORDER BY time, voice
LIMIT 20000

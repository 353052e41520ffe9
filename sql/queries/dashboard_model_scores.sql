-- topic: models
-- purpose: What edges answered for a model over time: scores by version, and by reason where no model answered.
-- grain: One row per step of the range and version or reason.
-- units: Scores in the step, resent ones once and synthetic ones not; reckoned from a sample where the range has more than 40,000.
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
    if(s.model_version = '', concat('degraded: ', s.degraded), toString(s.model_version)) AS answered,
    count() * any(every) AS scores
FROM
(
    SELECT id, event_time, model_version, degraded FROM score_events
    WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')} AND NOT synthetic AND NOT quarantined
      AND cityHash64(id) % every = 0
    ORDER BY kafka_partition, kafka_offset LIMIT 1 BY id
) AS s
GROUP BY time, answered
ORDER BY time, answered
LIMIT 20000

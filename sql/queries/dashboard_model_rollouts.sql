-- topic: models
-- purpose: Which version of a model answered when, and which scored unseen beside it.
-- grain: One row per decision about the model in the range, and one for how things stood at its start.
-- units: champion answers, shadow scores unseen; empty for none.
-- maturity: Final; the newest decision rules.
-- param model String = churn: model.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    time, argMax(r.champion, r.kafka_offset) AS champion, argMax(r.shadow, r.kafka_offset) AS shadow
FROM
(
    SELECT greatest(at, {from:DateTime64(3,'UTC')}) AS time, champion, shadow, kafka_offset FROM rollouts
    WHERE name = {model:String} AND at < {to:DateTime64(3,'UTC')}
) AS r
GROUP BY time
ORDER BY time
LIMIT 1000

-- purpose: Score_samples against a recomputation from score_events: no sampled answer may be missing, or stand there with another vector.
-- grain: One row per base table.
-- units: Answers. An earlier arrival is none of its business: rows beyond released may have given it.
-- maturity: Of the records below released.
-- param score Map(UInt32,UInt64): the offset up to which each Kafka partition of score is compared; others are left out.
SELECT
    'score_events' AS source,
    count() AS due,
    countIf(h.held = 0) AS missing,
    countIf(h.held = 1 AND (h.kafka_offset > d.first.1 OR h.kafka_offset = d.first.1 AND h.hash != d.first.2)) AS differing
FROM
(
    SELECT model, event_time, id, min((kafka_offset, cityHash64(toString(model_version), vector))) AS first
    FROM score_events
    WHERE NOT synthetic AND NOT quarantined AND model_version != '' AND notEmpty(vector) AND cityHash64(id) % 16 = 0
      AND kafka_offset < {score:Map(UInt32,UInt64)}[kafka_partition]
    GROUP BY model, event_time, id
) AS d
LEFT JOIN (SELECT model, event_time, id, kafka_offset, cityHash64(toString(model_version), vector) AS hash, 1 AS held FROM score_samples FINAL) AS h USING (model, event_time, id)
GROUP BY source

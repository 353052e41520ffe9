-- purpose: Feature_progress against a recomputation from features: no partition may be missing, or said to have come less far than its rows.
-- grain: One row per base table.
-- units: Kafka partitions. A later time is none of its business: rows beyond released, or gone by the TTL, may have given it.
-- maturity: Of the records below released.
-- param features Map(UInt32,UInt64): the offset up to which each Kafka partition of features is compared; others are left out.
SELECT
    'features' AS source,
    count() AS due,
    countIf(h.held = 0) AS missing,
    countIf(h.held = 1 AND (h.newest < d.newest OR d.reached IS NOT NULL AND NOT ifNull(h.reached >= d.reached, false))) AS differing
FROM
(
    SELECT kafka_partition, max(as_of) AS newest, max(watermark) AS reached
    FROM features
    WHERE kafka_offset < {features:Map(UInt32,UInt64)}[kafka_partition]
    GROUP BY kafka_partition
) AS d
LEFT JOIN (SELECT kafka_partition, max(p.newest) AS newest, max(p.reached) AS reached, 1 AS held FROM feature_progress AS p GROUP BY kafka_partition) AS h USING (kafka_partition)
GROUP BY source

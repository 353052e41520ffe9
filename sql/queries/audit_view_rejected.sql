-- purpose: Rejected against a recomputation from dead_letters and late_events: no record may be missing from the count, and none newer than what it says.
-- grain: One row per base table.
-- units: due and missing are records, differing counts groups of them. A record more is none of its business: it may be beyond released, or gone by the TTL.
-- maturity: Of the records below released.
-- param dead_letter Map(UInt32,UInt64): the offset up to which each Kafka partition of dead-letter is compared; others are left out.
-- param late Map(UInt32,UInt64): the same for late.
WITH
    due AS
    (
        SELECT 'dead_letters' AS source, toDate(kafka_time) AS day, toString(topic) AS topic, toString(class) AS class, kafka_partition, groupBitmapState(kafka_offset) AS offsets, max(timestamp) AS newest
        FROM dead_letters
        WHERE kafka_offset < {dead_letter:Map(UInt32,UInt64)}[kafka_partition]
        GROUP BY day, topic, class, kafka_partition
        UNION ALL
        SELECT 'late_events', toDate(kafka_time) AS day, toString(topic) AS topic, 'late', kafka_partition, groupBitmapState(kafka_offset), max(timestamp)
        FROM late_events
        WHERE kafka_offset < {late:Map(UInt32,UInt64)}[kafka_partition]
        GROUP BY day, topic, kafka_partition
    )
SELECT
    d.source AS source,
    sum(bitmapCardinality(d.offsets)) AS due,
    sum(bitmapAndnotCardinality(d.offsets, h.offsets)) AS missing,
    countIf(h.held = 1 AND h.newest < d.newest) AS differing
FROM due AS d
LEFT JOIN
(
    SELECT toString(stored_in) AS source, day, toString(topic) AS topic, toString(class) AS class, kafka_partition, groupBitmapMergeState(r.offsets) AS offsets, max(r.newest) AS newest, 1 AS held
    FROM rejected AS r
    GROUP BY source, day, topic, class, kafka_partition
) AS h USING (source, day, topic, class, kafka_partition)
GROUP BY source
ORDER BY source

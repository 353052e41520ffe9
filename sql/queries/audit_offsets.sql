-- purpose: What ClickHouse holds of each topic-partition, to compare with Kafka's offsets.
-- grain: One row per table and Kafka partition.
-- units: Rows and offsets. rows > distinct_offsets means doubled rows; distinct_offsets < last - first + 1 means offsets without a row: undecodable records, transaction markers, or loss; droplift audit tells which.
-- maturity: As of now. Tables with a TTL or with replacing rows hold fewer rows than were written.
SELECT * FROM
(
    SELECT 'player_events' AS table, kafka_partition AS partition, count() AS rows, min(kafka_offset) AS first, max(kafka_offset) AS last, uniqExact(kafka_offset) AS distinct_offsets FROM player_events GROUP BY partition
    UNION ALL
    SELECT 'latency_events', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM latency_events GROUP BY kafka_partition
    UNION ALL
    SELECT 'checkout_events', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM checkout_events GROUP BY kafka_partition
    UNION ALL
    SELECT 'subtitle_events', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM subtitle_events GROUP BY kafka_partition
    UNION ALL
    SELECT 'drops', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM drops GROUP BY kafka_partition
    UNION ALL
    SELECT 'features', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM features GROUP BY kafka_partition
    UNION ALL
    SELECT 'velocity', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM velocity GROUP BY kafka_partition
    UNION ALL
    SELECT 'edge_cost', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM edge_cost GROUP BY kafka_partition
    UNION ALL
    SELECT 'localization', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM localization GROUP BY kafka_partition
    UNION ALL
    SELECT 'inventory', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM inventory GROUP BY kafka_partition
    UNION ALL
    SELECT 'attribution', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM attribution GROUP BY kafka_partition
    UNION ALL
    SELECT 'latency_sketches', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM latency_sketches GROUP BY kafka_partition
    UNION ALL
    SELECT 'experiments', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM experiments GROUP BY kafka_partition
    UNION ALL
    SELECT 'ledger', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM ledger GROUP BY kafka_partition
    UNION ALL
    SELECT 'settlements', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM settlements GROUP BY kafka_partition
    UNION ALL
    SELECT 'estimates', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM estimates GROUP BY kafka_partition
    UNION ALL
    SELECT 'decisions', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM decisions GROUP BY kafka_partition
    UNION ALL
    SELECT 'dead_letters', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM dead_letters GROUP BY kafka_partition
    UNION ALL
    SELECT 'late_events', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM late_events GROUP BY kafka_partition
    UNION ALL
    SELECT 'score_events', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM score_events GROUP BY kafka_partition
    UNION ALL
    SELECT 'examples', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM examples GROUP BY kafka_partition
    UNION ALL
    SELECT 'models', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM models GROUP BY kafka_partition
    UNION ALL
    SELECT 'rollouts', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM rollouts GROUP BY kafka_partition
    UNION ALL
    SELECT 'lifetimes', kafka_partition, count(), min(kafka_offset), max(kafka_offset), uniqExact(kafka_offset) FROM lifetimes GROUP BY kafka_partition
)
ORDER BY table, partition

-- purpose: The offset ranges of one table that no row covers: undecodable records, transaction markers, or loss. Kafka tells which.
-- grain: One row per contiguous range, at most 1,000.
-- units: Offsets, both ends inclusive.
-- maturity: As of now.
-- param table Identifier: player_events, latency_events, checkout_events, subtitle_events, drops, features, velocity, dead_letters or late_events.
SELECT kafka_partition AS partition, toUInt64(following - gap + 1) AS first, toUInt64(following) AS last, toUInt64(gap) AS offsets
FROM
(
    SELECT
        kafka_partition,
        toInt64(kafka_offset) - 1 AS following,
        toInt64(kafka_offset) - lagInFrame(toInt64(kafka_offset), 1, toInt64(kafka_offset) - 1)
            OVER (PARTITION BY kafka_partition ORDER BY kafka_offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) - 1 AS gap
    FROM (SELECT DISTINCT kafka_partition, kafka_offset FROM {table:Identifier})
)
WHERE gap > 0
ORDER BY partition, first
LIMIT 1000

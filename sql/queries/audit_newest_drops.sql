-- purpose: The row that drops shows for each drop, to hold against the newest version in Kafka: rows replace each other, so offsets cannot be counted.
-- grain: One row per drop.
-- units: version grows; the Kafka position is where the row stood.
-- maturity: As of now.
SELECT drop_id AS key, toUInt64(version) AS version, kafka_partition, kafka_offset
FROM drops FINAL

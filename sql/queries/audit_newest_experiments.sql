-- purpose: The row that experiments_latest shows for each arm, to hold against the newest revision in Kafka: rows replace each other, so offsets cannot be counted.
-- grain: One row per drop, experiment, language, variant and partition of the processors.
-- units: key is these five, separated by a character that none of them holds; revision grows; the Kafka position is where the row stood.
-- maturity: As of now.
SELECT concat(drop_id, '\x1f', experiment_id, '\x1f', language, '\x1f', variant, '\x1f', toString(partition)) AS key,
       revision AS version, kafka_partition AS partition, kafka_offset AS offset
FROM experiments FINAL

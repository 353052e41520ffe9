-- purpose: The row that attribution_latest shows for each cell, to hold against the newest revision in Kafka: rows replace each other, so offsets cannot be counted.
-- grain: One row per drop, POP, device, language, drop age and partition of the processors.
-- units: key is drop, POP, device, language, start of the age (ms) and partition, separated by a character that none of them holds; revision grows; the Kafka position is where the row stood.
-- maturity: As of now.
SELECT concat(drop_id, '\x1f', pop, '\x1f', device, '\x1f', language, '\x1f', toString(age_from_ms), '\x1f', toString(partition)) AS key,
       revision AS version, kafka_partition AS partition, kafka_offset AS offset
FROM attribution FINAL

-- purpose: The row that latency_sketches_latest shows for each pane, to hold against the newest revision in Kafka: rows replace each other, so offsets cannot be counted.
-- grain: One row per drop, request, pane, POP and partition of the processors.
-- units: key is drop, request, pane start (Unix ms), POP and partition, separated by a character that none of them holds; revision grows; the Kafka position is where the row stood.
-- maturity: As of now.
SELECT concat(drop_id, '\x1f', request, '\x1f', toString(toUnixTimestamp64Milli(pane_start)), '\x1f', pop, '\x1f', toString(partition)) AS key,
       revision AS version, kafka_partition AS partition, kafka_offset AS offset
FROM latency_sketches FINAL

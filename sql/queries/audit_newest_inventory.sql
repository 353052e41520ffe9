-- purpose: The row that inventory_latest shows for each partial, to hold against the newest revision in Kafka: rows replace each other, so offsets cannot be counted.
-- grain: One row per drop, item, channel, partner, pane and partition of the processors.
-- units: key is drop, item, channel, partner, pane start (Unix ms) and partition, separated by a character that none of them holds; revision grows; the Kafka position is where the row stood.
-- maturity: As of now.
SELECT concat(drop_id, '\x1f', sku, '\x1f', channel, '\x1f', partner, '\x1f', toString(toUnixTimestamp64Milli(pane_start)), '\x1f', toString(partition)) AS key,
       revision AS version, kafka_partition AS partition, kafka_offset AS offset
FROM inventory FINAL

-- purpose: The row that edge_cost_latest shows for each partial, to hold against the newest revision in Kafka: rows replace each other, so offsets cannot be counted.
-- grain: One row per drop, POP, creator, pane, synthetic, price list and partition of the processors.
-- units: key is these, separated by a character that none of them holds; revision grows; the Kafka position is where the row stood.
-- maturity: As of now.
SELECT concat(drop_id, '\x1f', pop, '\x1f', creator_id, '\x1f', toString(toUnixTimestamp64Milli(pane_start)), '\x1f', toString(synthetic), '\x1f', prices, '\x1f', toString(partition)) AS key,
       revision AS version, kafka_partition, kafka_offset
FROM edge_cost FINAL

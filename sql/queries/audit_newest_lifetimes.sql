-- purpose: The row that lifetimes_latest shows for each prediction, to hold against the newest revision in Kafka: rows replace each other, so offsets cannot be counted.
-- grain: One row per model, player, currency and creator.
-- units: key is model, player, currency and creator, separated by a character that none of them holds; revision grows; the Kafka position is where the row stood.
-- maturity: As of now.
SELECT concat(model, '\x1f', player_id, '\x1f', currency, '\x1f', creator_id) AS key,
       revision AS version, kafka_partition, kafka_offset
FROM lifetimes FINAL

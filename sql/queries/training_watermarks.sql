-- topic: features
-- purpose: How far the stored sessions of each partition have come, which says what labels are known.
-- grain: One row per Kafka partition of topic player.
-- units: watermark_ms is Unix ms: the newest event time less the out-of-orderness less 1. Clocks that run ahead do not count.
-- maturity: As of now.
-- param out_of_order_ms Int64 = 10000: how far events may be out of order.
SELECT kafka_partition AS partition, toUnixTimestamp64Milli(max(event_time)) - {out_of_order_ms:Int64} - 1 AS watermark_ms
FROM player_events
WHERE NOT quarantined AND at = event_time
GROUP BY partition
ORDER BY partition

-- topic: features
-- purpose: The events that some players' features are made of, each once, as the processors accepted them: to recompute features from.
-- grain: One row per event, by player and order of arrival.
-- units: at_ms and ingest_ms are Unix ms; amount in minor units of currency.
-- maturity: As of now; raw events are kept 90 days, checkouts for good.
-- param players Array(String) = []: players; none is all.
-- param before_ms Int64 = 9214646400000: events that happened before this, Unix ms.
SELECT *
FROM
(
    SELECT
        'player' AS topic, type, id, player_id, toUnixTimestamp64Milli(at) AS at_ms, toUnixTimestamp64Milli(ingest_time) AS ingest_ms, creator_id, drop_id,
        heartbeat_ms, '' AS request, toFloat64(0) AS ms, toInt64(0) AS amount, '' AS currency, kafka_time, kafka_partition, kafka_offset
    FROM player_events
    WHERE (empty({players:Array(String)}) OR player_id IN {players:Array(String)}) AND NOT synthetic AND NOT quarantined AND at < fromUnixTimestamp64Milli({before_ms:Int64}, 'UTC')
    UNION ALL
    SELECT
        'latency', type, id, player_id, toUnixTimestamp64Milli(at), toUnixTimestamp64Milli(ingest_time), creator_id, drop_id,
        0, request, ms, 0, '', kafka_time, kafka_partition, kafka_offset
    FROM latency_events
    WHERE (empty({players:Array(String)}) OR player_id IN {players:Array(String)}) AND NOT synthetic AND NOT quarantined AND at < fromUnixTimestamp64Milli({before_ms:Int64}, 'UTC')
    UNION ALL
    SELECT
        'checkout', type, id, player_id, toUnixTimestamp64Milli(at), toUnixTimestamp64Milli(ingest_time), creator_id, drop_id,
        0, '', 0, amount, currency, kafka_time, kafka_partition, kafka_offset
    FROM checkout_events
    WHERE (empty({players:Array(String)}) OR player_id IN {players:Array(String)}) AND NOT synthetic AND NOT quarantined AND at < fromUnixTimestamp64Milli({before_ms:Int64}, 'UTC')
)
WHERE player_id != ''
  AND (topic, kafka_partition, kafka_offset) NOT IN (SELECT toString(topic), partition, offset FROM late_events)
  AND (topic, kafka_partition, kafka_offset) NOT IN (SELECT toString(topic), partition, offset FROM dead_letters)
ORDER BY player_id, ingest_ms, kafka_time, topic, kafka_offset
LIMIT 1 BY player_id, topic, id

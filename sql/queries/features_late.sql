-- topic: features
-- purpose: Players of whom something that happened before a scoring time t0 arrived after it: a training set must not know that.
-- grain: One row per player, in order of player_id.
-- units: events is how many such records there are.
-- maturity: As of now.
-- param at_ms Int64: scoring time t0, Unix ms.
-- param within_ms Int64 = 2419200000: how far before t0 to look.
SELECT player_id, count() AS events
FROM
(
    SELECT player_id FROM player_events
    WHERE at >= fromUnixTimestamp64Milli({at_ms:Int64} - {within_ms:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC')
      AND ingest_time > fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC') AND NOT synthetic AND NOT quarantined AND player_id != ''
    UNION ALL
    SELECT player_id FROM latency_events
    WHERE at >= fromUnixTimestamp64Milli({at_ms:Int64} - {within_ms:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC')
      AND ingest_time > fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC') AND NOT synthetic AND NOT quarantined AND player_id != '' AND request != 'probe'
    UNION ALL
    SELECT player_id FROM checkout_events
    WHERE at >= fromUnixTimestamp64Milli({at_ms:Int64} - {within_ms:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC')
      AND ingest_time > fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC') AND NOT synthetic AND NOT quarantined AND player_id != ''
)
GROUP BY player_id
ORDER BY player_id

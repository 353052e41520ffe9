-- topic: features
-- purpose: Revisions of players' features whose as_of lies in a span of time, as exports hold them.
-- grain: One row per player and revision, in this order.
-- units: As in features; kafka_time is when a revision could be known.
-- maturity: Column maturity. Late events add revisions to hours that have passed.
-- param from_ms Int64 = 0: as_of from here on, Unix ms.
-- param to_ms Int64 = 9214646400000: as_of below this, Unix ms.
SELECT * EXCEPT (inserted_at)
FROM features
WHERE as_of >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND as_of < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
ORDER BY player_id, revision, kafka_time

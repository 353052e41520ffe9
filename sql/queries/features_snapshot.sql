-- topic: features
-- purpose: The newest features of every player, or of some.
-- grain: One row per player.
-- units: As in features; kafka_time is when the revision could be known.
-- maturity: Column maturity, as of what ClickHouse has.
-- param players Array(String) = []: players; none is all.
SELECT * EXCEPT (inserted_at)
FROM features
WHERE empty({players:Array(String)}) OR player_id IN {players:Array(String)}
ORDER BY player_id, revision DESC, kafka_time DESC
LIMIT 1 BY player_id

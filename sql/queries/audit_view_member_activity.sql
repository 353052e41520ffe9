-- purpose: Member_activity against a recomputation from player_events and checkout_events: no first activity may be missing or later than the rows say.
-- grain: One row per base table.
-- units: Members of a drop and creator. An earlier first activity is none of its business: rows beyond released, or gone by the TTL, may have given it.
-- maturity: Of the records below released.
-- param player Map(UInt32,UInt64): the offset up to which each Kafka partition of player is compared; others are left out.
-- param checkout Map(UInt32,UInt64): the same for checkout.
WITH
    due AS
    (
        SELECT 'player_events' AS source, player_id, drop_id, creator_id, min(at) AS first
        FROM player_events
        WHERE player_id != '' AND NOT synthetic AND NOT quarantined AND kafka_offset < {player:Map(UInt32,UInt64)}[kafka_partition]
        GROUP BY player_id, drop_id, creator_id
        UNION ALL
        SELECT 'checkout_events', player_id, drop_id, creator_id, min(at)
        FROM checkout_events
        WHERE player_id != '' AND NOT synthetic AND NOT quarantined AND kafka_offset < {checkout:Map(UInt32,UInt64)}[kafka_partition]
        GROUP BY player_id, drop_id, creator_id
    )
SELECT d.source AS source, count() AS due, countIf(h.first IS NULL) AS missing, countIf(h.first > d.first) AS differing
FROM due AS d
LEFT JOIN
(
    SELECT player_id, drop_id, creator_id, toNullable(min(m.first)) AS first
    FROM member_activity AS m GROUP BY player_id, drop_id, creator_id
) AS h USING (player_id, drop_id, creator_id)
GROUP BY source
ORDER BY source

-- purpose: Player_sessions against a recomputation from player_events: no session start may be missing.
-- grain: One row per base table.
-- units: Session starts. One that the rows do not give is none of its business: rows beyond released, or gone by the TTL, may have given it.
-- maturity: Of the records below released.
-- param player Map(UInt32,UInt64): the offset up to which each Kafka partition of player is compared; others are left out.
SELECT 'player_events' AS source, count() AS due, countIf(h.held = 0) AS missing, toUInt64(0) AS differing
FROM
(
    SELECT DISTINCT player_id, at AS started, session_id
    FROM player_events
    WHERE type = 'session_start' AND player_id != '' AND NOT synthetic AND NOT quarantined AND kafka_offset < {player:Map(UInt32,UInt64)}[kafka_partition]
) AS d
LEFT JOIN (SELECT player_id, started, session_id, 1 AS held FROM player_sessions FINAL) AS h USING (player_id, started, session_id)
GROUP BY source

-- purpose: First_exposures against a recomputation from player_events: no first exposure may be missing or later than the rows say.
-- grain: One row per base table.
-- units: First exposures of a player to an experiment. An earlier one is none of its business: rows beyond released, or gone by the TTL, may have given it.
-- maturity: Of the records below released.
-- param player Map(UInt32,UInt64): the offset up to which each Kafka partition of player is compared; others are left out.
SELECT 'player_events' AS source, count() AS due, countIf(h.first IS NULL) AS missing, countIf(h.first > d.first) AS differing
FROM
(
    SELECT drop_id, experiment_id, player_id, min(at) AS first
    FROM player_events
    WHERE type = 'cta_exposure' AND experiment_id != '' AND player_id != '' AND NOT synthetic AND NOT quarantined
      AND kafka_offset < {player:Map(UInt32,UInt64)}[kafka_partition]
    GROUP BY drop_id, experiment_id, player_id
) AS d
LEFT JOIN
(
    SELECT drop_id, experiment_id, player_id, toNullable(min(e.first).1) AS first
    FROM first_exposures AS e GROUP BY drop_id, experiment_id, player_id
) AS h USING (drop_id, experiment_id, player_id)
GROUP BY source

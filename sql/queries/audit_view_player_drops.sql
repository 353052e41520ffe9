-- purpose: Player_drops against a recomputation from its base tables: no first time of a funnel step, and no first landing request, may be missing or later than the rows say.
-- grain: One row per base table.
-- units: First times of a player and drop. An earlier one is none of its business: rows beyond released, or gone by the TTL, may have given it.
-- maturity: Of the records below released.
-- param player Map(UInt32,UInt64): the offset up to which each Kafka partition of player is compared; others are left out.
-- param checkout Map(UInt32,UInt64): the same for checkout.
-- param latency Map(UInt32,UInt64): the same for latency.
WITH
    due AS
    (
        SELECT 'player_events' AS source, drop_id, player_id, toString(type) AS step, min(at) AS first
        FROM player_events
        WHERE player_id != '' AND drop_id != '' AND NOT synthetic AND NOT quarantined
          AND type IN ('landing_view', 'offer_impression', 'offer_click') AND kafka_offset < {player:Map(UInt32,UInt64)}[kafka_partition]
        GROUP BY drop_id, player_id, step
        UNION ALL
        SELECT 'checkout_events', drop_id, player_id, toString(type) AS step, min(at)
        FROM checkout_events
        WHERE player_id != '' AND drop_id != '' AND NOT synthetic AND NOT quarantined
          AND type IN ('started', 'completed') AND kafka_offset < {checkout:Map(UInt32,UInt64)}[kafka_partition]
        GROUP BY drop_id, player_id, step
        UNION ALL
        SELECT 'latency_events', drop_id, player_id, 'exposure' AS step, min(at)
        FROM latency_events
        WHERE player_id != '' AND drop_id != '' AND NOT synthetic AND NOT quarantined
          AND request = 'landing' AND kafka_offset < {latency:Map(UInt32,UInt64)}[kafka_partition]
        GROUP BY drop_id, player_id, step
    ),
    held AS
    (
        SELECT drop_id, player_id, value.1 AS step, value.2 AS first
        FROM
        (
            SELECT drop_id, player_id,
                   arrayJoin([('landing_view', min(p.landing)), ('offer_impression', min(p.impression)), ('offer_click', min(p.click)),
                              ('started', min(p.started)), ('completed', min(p.completed)), ('exposure', toNullable(min(p.exposure).1))]) AS value
            FROM player_drops AS p GROUP BY drop_id, player_id
        )
    )
SELECT d.source AS source, count() AS due, countIf(h.first IS NULL) AS missing, countIf(h.first > d.first) AS differing
FROM due AS d
LEFT JOIN held AS h USING (drop_id, player_id, step)
GROUP BY source
ORDER BY source

-- purpose: How far behind the stored data is: the age of the newest record of each table by event time, by Kafka time and by arrival.
-- grain: One row per table.
-- units: Seconds before now; NULL for an empty table.
-- maturity: As of now.
SELECT
    table,
    if(rows = 0, NULL, dateDiff('millisecond', newest_event, now64(3)) / 1000) AS event_age_s,
    if(rows = 0, NULL, dateDiff('millisecond', newest_kafka, now64(3)) / 1000) AS kafka_age_s,
    if(rows = 0, NULL, dateDiff('millisecond', newest_arrival, now64(3)) / 1000) AS arrival_age_s,
    rows
FROM
(
    SELECT 'player_events' AS table, max(at) AS newest_event, max(kafka_time) AS newest_kafka, max(inserted_at) AS newest_arrival, count() AS rows FROM player_events
    UNION ALL
    SELECT 'latency_events', max(at), max(kafka_time), max(inserted_at), count() FROM latency_events
    UNION ALL
    SELECT 'checkout_events', max(at), max(kafka_time), max(inserted_at), count() FROM checkout_events
    UNION ALL
    SELECT 'subtitle_events', max(at), max(kafka_time), max(inserted_at), count() FROM subtitle_events
    UNION ALL
    SELECT 'features', max(as_of), max(kafka_time), max(inserted_at), count() FROM features
    UNION ALL
    SELECT 'velocity', max(pane_start), max(kafka_time), max(inserted_at), count() FROM velocity
)
ORDER BY table

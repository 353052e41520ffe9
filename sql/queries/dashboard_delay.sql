-- purpose: How long records took from Kafka to being queryable, over the last hour of arrivals.
-- grain: One row per table that took in something.
-- units: Seconds from the Kafka timestamp to the insert; records in that hour.
-- maturity: As of now.
SELECT
    table,
    count() AS records,
    quantile(0.5)(delay) AS p50_s,
    quantile(0.99)(delay) AS p99_s
FROM
(
    SELECT 'player_events' AS table, dateDiff('millisecond', kafka_time, inserted_at) / 1000 AS delay
    FROM player_events WHERE inserted_at >= (SELECT max(inserted_at) FROM player_events) - INTERVAL 1 HOUR
    UNION ALL
    SELECT 'latency_events', dateDiff('millisecond', kafka_time, inserted_at) / 1000
    FROM latency_events WHERE inserted_at >= (SELECT max(inserted_at) FROM latency_events) - INTERVAL 1 HOUR
    UNION ALL
    SELECT 'checkout_events', dateDiff('millisecond', kafka_time, inserted_at) / 1000
    FROM checkout_events WHERE inserted_at >= (SELECT max(inserted_at) FROM checkout_events) - INTERVAL 1 HOUR
    UNION ALL
    SELECT 'velocity', dateDiff('millisecond', kafka_time, inserted_at) / 1000
    FROM velocity WHERE inserted_at >= (SELECT max(inserted_at) FROM velocity) - INTERVAL 1 HOUR
    UNION ALL
    SELECT 'features', dateDiff('millisecond', kafka_time, inserted_at) / 1000
    FROM features WHERE inserted_at >= (SELECT max(inserted_at) FROM features) - INTERVAL 1 HOUR
)
GROUP BY table
ORDER BY table

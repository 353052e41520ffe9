-- topic: quality
-- purpose: What the other reports leave out or rest on weakly: late, repeated, refused, quarantined, skewed and synthetic records, and money without a sound rate.
-- grain: One row per check and detail.
-- units: records (or rows of purchases) that fall under the check; of is the number looked at.
-- maturity: As of now, over everything stored.
SELECT check, detail, records, of
FROM
(
    SELECT 'late' AS check, toString(topic) AS detail, count() AS records, toUInt64(0) AS of FROM late_events GROUP BY topic
    UNION ALL
    SELECT 'dead letter', concat(topic, ': ', class), count(), toUInt64(0) FROM dead_letters GROUP BY topic, class
    UNION ALL
    SELECT 'repeated id', 'player', toUInt64(count() - uniqExact(id)), count() FROM player_events
    UNION ALL
    SELECT 'repeated id', 'latency', toUInt64(count() - uniqExact(id)), count() FROM latency_events
    UNION ALL
    SELECT 'repeated id', 'checkout', toUInt64(count() - uniqExact(id)), count() FROM checkout_events
    UNION ALL
    SELECT 'repeated id', 'subtitle', toUInt64(count() - uniqExact(id)), count() FROM subtitle_events
    UNION ALL
    SELECT 'clock off by over 7 days', 'player', countIf(quarantined), count() FROM player_events
    UNION ALL
    SELECT 'clock off by over 7 days', 'latency', countIf(quarantined), count() FROM latency_events
    UNION ALL
    SELECT 'clock off by over 7 days', 'checkout', countIf(quarantined), count() FROM checkout_events
    UNION ALL
    SELECT 'clock off by over 7 days', 'subtitle', countIf(quarantined), count() FROM subtitle_events
    UNION ALL
    SELECT 'clock over 60 s ahead', 'player', countIf(at != event_time AND NOT quarantined), count() FROM player_events
    UNION ALL
    SELECT 'clock over 60 s ahead', 'latency', countIf(at != event_time AND NOT quarantined), count() FROM latency_events
    UNION ALL
    SELECT 'clock over 60 s ahead', 'checkout', countIf(at != event_time AND NOT quarantined), count() FROM checkout_events
    UNION ALL
    SELECT 'synthetic', 'player', countIf(synthetic), count() FROM player_events
    UNION ALL
    SELECT 'synthetic', 'latency', countIf(synthetic), count() FROM latency_events
    UNION ALL
    SELECT 'synthetic', 'checkout', countIf(synthetic), count() FROM checkout_events
    UNION ALL
    SELECT 'money without a rate', concat(currency, if(original_time = toDateTime64(0, 3, 'UTC'), ': purchase day unknown', ': no rate')), count(), toUInt64(0)
    FROM purchases FINAL WHERE amount_reporting IS NULL GROUP BY currency, original_time = toDateTime64(0, 3, 'UTC')
    UNION ALL
    SELECT 'money at a demo rate', toString(currency), count(), toUInt64(0) FROM purchases FINAL WHERE rate_source = 'demo' GROUP BY currency
    UNION ALL
    SELECT 'money at a rate over 7 days old', toString(currency), count(), toUInt64(0) FROM purchases FINAL
    WHERE rate_source NOT IN ('', 'identity', 'demo') AND dateDiff('day', rate_date, toDate(original_time)) > 7 GROUP BY currency
)
ORDER BY check, detail

-- topic: quality
-- purpose: What a drop's numbers leave out or had to correct: late, repeated, refused, quarantined, skewed and synthetic records, and revisions of published panes.
-- grain: One row per drop and topic; dead letters cannot always name a drop and stand in rows whose drop_id is empty.
-- units: Records; of is the number stored. repeated counts records beyond the first of an event id. revised counts panes of velocity that were published more than once; share is that of repeated and quarantined records.
-- maturity: As of now, over everything stored; raw records are kept 90 days.
-- param drop String = : drop id; empty takes every drop.
SELECT
    drop_id, topic,
    sum(q.stored) AS of,
    sum(q.late) AS late,
    sum(q.repeated) AS repeated,
    sum(q.refused) AS dead_letters,
    sum(q.quarantined) AS quarantined,
    sum(q.skewed) AS skewed,
    sum(q.synthetic) AS synthetic,
    sum(q.revised) AS revised,
    if(of > 0, (repeated + quarantined) / of, NULL) AS share
FROM
(
    SELECT toString(drop_id) AS drop_id, 'player' AS topic, count() AS stored, toUInt64(0) AS late, count() - uniqExact(r.id) AS repeated,
           toUInt64(0) AS refused, countIf(r.quarantined) AS quarantined, countIf(r.at != r.event_time AND NOT r.quarantined) AS skewed, countIf(r.synthetic) AS synthetic, toUInt64(0) AS revised
    FROM player_events AS r GROUP BY drop_id
    UNION ALL
    SELECT toString(drop_id), 'latency', count(), 0, count() - uniqExact(r.id), 0, countIf(r.quarantined), countIf(r.at != r.event_time AND NOT r.quarantined), countIf(r.synthetic), 0
    FROM latency_events AS r GROUP BY drop_id
    UNION ALL
    SELECT toString(drop_id), 'checkout', count(), 0, count() - uniqExact(r.id), 0, countIf(r.quarantined), countIf(r.at != r.event_time AND NOT r.quarantined), countIf(r.synthetic), 0
    FROM checkout_events AS r GROUP BY drop_id
    UNION ALL
    SELECT toString(drop_id), 'subtitle', count(), 0, count() - uniqExact(r.id), 0, countIf(r.quarantined), countIf(r.at != r.event_time AND NOT r.quarantined), countIf(r.synthetic), 0
    FROM subtitle_events AS r GROUP BY drop_id
    UNION ALL
    SELECT toString(drop_id), toString(topic), 0, count(), 0, 0, 0, 0, 0, 0 FROM late_events GROUP BY drop_id, topic
    UNION ALL
    SELECT '', toString(topic), 0, 0, 0, count(), 0, 0, 0, 0 FROM dead_letters GROUP BY topic
    UNION ALL
    SELECT toString(drop_id), 'velocity', count(), 0, 0, 0, 0, 0, 0, countIf(revision > 1) FROM velocity_latest GROUP BY drop_id
) AS q
WHERE {drop:String} = '' OR drop_id IN ('', {drop:String})
GROUP BY drop_id, topic
ORDER BY drop_id, topic

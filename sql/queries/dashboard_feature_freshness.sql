-- topic: features
-- purpose: How far the newest features are behind the newest conversion velocity of the drop: whether the feature stage keeps up, partition by partition.
-- grain: One row per partition of the features topic.
-- units: behind_s in seconds of event time from the features' watermark to that of velocity, above 60 a warning; newest is the time that the newest features are about.
-- maturity: As of now.
-- param drop String: drop id.
SELECT
    f.kafka_partition AS partition, toDateTime64(max(f.newest), 3, 'UTC') AS newest, toDateTime64(max(f.reached), 3, 'UTC') AS watermark,
    greatest(0, dateDiff('millisecond', max(f.reached), (SELECT max(watermark) FROM velocity WHERE drop_id = {drop:String}))) / 1000 AS behind_s,
    any(c.revisions) AS revisions
FROM feature_progress AS f
-- Counts by the partition that a table is kept in cost no look at its rows.
INNER JOIN (SELECT kafka_partition, count() AS revisions FROM features GROUP BY kafka_partition) AS c ON c.kafka_partition = f.kafka_partition
GROUP BY partition
ORDER BY behind_s DESC, partition
LIMIT 100

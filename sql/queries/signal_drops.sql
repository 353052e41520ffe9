-- topic: operations
-- purpose: The drops that alerts watch: those announced as begun that run, or ended at most two days before the newest event, and the event time as of which they are judged.
-- grain: One row per drop, newest first.
-- units: at in UTC: the lowest watermark of the partitions that are within ten minutes of the furthest one; a partition further behind is an alert of its own.
-- maturity: As of now.
-- param keep_ms Int64 = 172800000: how long after its end a drop is watched.
SELECT d.drop_id AS drop_id, w.at AS at
FROM (SELECT toString(drop_id) AS drop_id, starts, ends FROM drops FINAL) AS d
CROSS JOIN
(
    SELECT min(reached) AS at
    FROM (SELECT max(watermark) AS reached, max(reached) OVER () AS furthest FROM velocity WHERE watermark IS NOT NULL GROUP BY partition)
    WHERE reached >= furthest - toIntervalMinute(10)
) AS w
WHERE d.drop_id != '' AND d.starts <= w.at AND w.at < d.ends + toIntervalMillisecond({keep_ms:Int64})
ORDER BY d.starts DESC, d.drop_id
LIMIT 50

-- purpose: Records that no number counts: refused ones by class, and valid ones that came past the allowed lateness.
-- grain: One row per topic and class.
-- units: Records; the newest one's Kafka time.
-- maturity: As of now; all drops, since a refused record's drop is not known. Records are forgotten 100 days after they came.
SELECT topic, class, sum(r.records) AS records, toDateTime64(max(r.newest), 3, 'UTC') AS newest
FROM (SELECT topic, class, groupBitmapMerge(offsets) AS records, max(newest) AS newest FROM rejected GROUP BY stored_in, day, topic, class, kafka_partition) AS r
GROUP BY topic, class
ORDER BY records DESC, topic, class

-- purpose: Records that no number counts: refused ones by class, and valid ones that came past the allowed lateness.
-- grain: One row per topic and class.
-- units: Records; the newest one's Kafka time.
-- maturity: As of now; all drops, since a refused record's drop is not known.
SELECT * FROM
(
    -- The order of a UNION ALL is that of its last SELECT alone, so the whole is a subquery.
    SELECT topic, class, count() AS records, max(timestamp) AS newest FROM dead_letters GROUP BY topic, class
    UNION ALL
    SELECT topic, 'late' AS class, count() AS records, max(timestamp) AS newest FROM late_events GROUP BY topic
)
ORDER BY records DESC, topic, class

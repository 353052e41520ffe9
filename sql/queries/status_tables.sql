-- purpose: What each table holds and how it is cut: many parts, or many new ones a minute, mean inserts that are too small.
-- grain: One row per table that holds anything.
-- units: bytes on disk, compressed; parts_per_minute counts the parts that inserts made in the last 60 s, those merged since included.
-- maturity: As of now.
SELECT
    table,
    sumIf(rows, active) AS stored_rows,
    countIf(active) AS active_parts,
    countIf(level = 0 AND modification_time > now() - 60) AS parts_per_minute,
    sumIf(bytes_on_disk, active) AS bytes
FROM system.parts
WHERE database = currentDatabase()
GROUP BY table
HAVING stored_rows > 0
ORDER BY table

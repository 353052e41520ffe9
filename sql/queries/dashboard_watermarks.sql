-- purpose: How far each partition's event time has come, and what of it is still provisional.
-- grain: One row per partition of the velocity processor: all drops that were under way when the last one began.
-- units: behind_s is seconds from the partition's watermark to the newest pane of any, 0 from there on; panes.
-- maturity: As of the last publication of each partition.
WITH (SELECT max(starts) FROM drops FINAL WHERE starts <= now64(3, 'UTC')) AS began
SELECT
    v.partition AS partition,
    max(v.watermark) AS watermark,
    greatest(0, dateDiff('millisecond', watermark, max(max(v.pane_start + toIntervalMillisecond(v.pane_ms))) OVER ())) / 1000 AS behind_s,
    countIf(v.maturity != 'final') AS provisional_panes,
    countIf(v.maturity = 'final') AS final_panes
FROM velocity_latest AS v
WHERE v.drop_id IN (SELECT drop_id FROM drops FINAL WHERE starts <= began AND greatest(starts, ends) >= began)
GROUP BY partition
ORDER BY partition

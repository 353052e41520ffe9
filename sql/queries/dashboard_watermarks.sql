-- purpose: How far each partition's event time has come, and what of it is still provisional.
-- grain: One row per partition of the velocity processor: all drops that were under way when the last one began.
-- units: behind_s is seconds from the partition's watermark to the newest pane of any, 0 from there on; panes.
-- maturity: As of the last publication of each partition.
WITH
    (SELECT max(starts) FROM drops FINAL WHERE starts <= now64(3, 'UTC')) AS began,
    panes AS
    (
        SELECT partition, watermark, maturity, pane_start + toIntervalMillisecond(pane_ms) AS pane_end
        FROM velocity_latest
        WHERE drop_id IN (SELECT drop_id FROM drops FINAL WHERE starts <= began AND greatest(starts, ends) >= began)
    )
SELECT
    p.partition AS partition,
    max(p.watermark) AS watermark,
    greatest(0, dateDiff('millisecond', watermark, (SELECT max(pane_end) FROM panes))) / 1000 AS behind_s,
    countIf(p.maturity != 'final') AS provisional_panes,
    countIf(p.maturity = 'final') AS final_panes
FROM panes AS p
GROUP BY partition
ORDER BY partition

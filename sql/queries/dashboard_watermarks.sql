-- purpose: How far each partition's event time has come for a drop, and what of it is still provisional.
-- grain: One row per partition of the velocity processor.
-- units: behind_s is seconds from the partition's watermark to the drop's newest pane, 0 from there on; panes.
-- maturity: As of the last publication of each partition.
-- param drop String: drop id.
SELECT
    v.partition AS partition,
    max(v.watermark) AS watermark,
    greatest(0, dateDiff('millisecond', watermark, any(newest))) / 1000 AS behind_s,
    countIf(v.maturity != 'final') AS provisional_panes,
    countIf(v.maturity = 'final') AS final_panes
FROM velocity_latest AS v
CROSS JOIN (SELECT max(pane_start + toIntervalMillisecond(pane_ms)) AS newest FROM velocity_latest WHERE drop_id = {drop:String}) AS n
WHERE v.drop_id = {drop:String}
GROUP BY partition
ORDER BY partition

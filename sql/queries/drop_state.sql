-- topic: catalogue
-- purpose: What a report on a drop rests on: its catalogue entry and how far the stored events reach.
-- grain: One row, or none for an unknown drop.
-- units: Times in UTC; latency_budget_ms 0 stands for the default.
-- maturity: maturity is final once the watermark of the stored events has passed the drop's end.
-- param drop String: drop id.
SELECT
    d.drop_id AS drop_id, d.creator_id AS creator_id, d.name AS name, d.version AS version, d.starts AS starts, d.ends AS ends,
    d.latency_budget_ms AS latency_budget_ms, w.watermark AS watermark,
    if(w.watermark >= d.ends, 'final', 'provisional') AS maturity
FROM (SELECT *, 1 AS k FROM drops FINAL WHERE drop_id = {drop:String}) AS d
LEFT JOIN (SELECT 1 AS k, minIf(m.watermark, NOT m.idle) AS watermark FROM watermarks AS m) AS w ON w.k = d.k

-- purpose: When a drop opens and ends, and how far its data has come, as anchors of time ranges.
-- grain: One row, none for an unknown drop.
-- units: UTC. newest is the end of the newest pane of conversion velocity, at most allowed_s past the drop's end; NULL before the first.
-- maturity: As of now.
-- param drop String: drop id.
-- param allowed_s Int64 = 600: how long after its end a drop's numbers go on, in seconds.
SELECT
    starts,
    ends,
    if(v.at IS NULL, NULL, least(v.at, ends + toIntervalSecond({allowed_s:Int64}))) AS newest
FROM drops FINAL
CROSS JOIN
(
    SELECT maxOrNull(pane_end) AS at
    FROM
    (
        SELECT pane_start + toIntervalMillisecond(pane_ms) AS pane_end
        FROM velocity
        WHERE drop_id = {drop:String}
        ORDER BY drop_id DESC, pane_start DESC
        LIMIT 1
    )
) AS v
WHERE drop_id = {drop:String}

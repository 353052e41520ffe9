-- purpose: When a drop opens and ends, how far its data has come, and when its stream had subtitles, as anchors of time ranges.
-- grain: One row, none for an unknown drop.
-- units: UTC. newest is the end of the newest pane of conversion velocity, at most allowed_s past the drop's end; NULL before the first. first_cue is the start of the first pane of subtitles, last_cue the end of the last one, or newest until that is quiet_s behind; both NULL without subtitles.
-- maturity: As of now.
-- param drop String: drop id.
-- param allowed_s Int64 = 600: how long after its end a drop's numbers go on, in seconds.
-- param quiet_s Int64 = 1800: silence after which a stream is over, in seconds.
SELECT
    starts,
    ends,
    if(v.at IS NULL, NULL, least(v.at, ends + toIntervalSecond({allowed_s:Int64}))) AS newest,
    c.first AS first_cue,
    if(newest > c.last + toIntervalSecond({quiet_s:Int64}), c.last, ifNull(newest, c.last)) AS last_cue
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
CROSS JOIN
(
    SELECT minOrNull(pane_start) AS first, maxOrNull(pane_start + toIntervalMillisecond(pane_ms)) AS last
    FROM localization
    WHERE drop_id = {drop:String}
) AS c
WHERE drop_id = {drop:String}

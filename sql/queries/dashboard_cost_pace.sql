-- purpose: The pace of a drop: the share of optional work that is let through; below 1 more was spent than planned (DOMAIN 9).
-- grain: One row per step with a change of the pace or a published estimate, one for the start of the drop or, if later, of the range, and one where the drop's data end: a pace holds until the next.
-- units: Share in [0, 1].
-- maturity: Final; a later estimate or decision does not change an earlier one.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
WITH
    (SELECT maxOrNull(pane_start) FROM edge_cost WHERE drop_id = {drop:String} AND pane_start < {to:DateTime64(3,'UTC')}) AS data_to
SELECT toStartOfInterval(greatest(p.shown, {from:DateTime64(3,'UTC')}), toIntervalSecond({step_s:Int64})) AS time, argMax(p.pace, p.at) AS pace
FROM
(
    SELECT arrayJoin(if(at = max(at) OVER () AND data_to > at, [at, assumeNotNull(data_to)], [at])) AS shown, at, pace
    FROM
    (
        SELECT starts AS at, 1. AS pace FROM drops FINAL WHERE drop_id = {drop:String}
        UNION ALL
        SELECT at, value FROM decisions WHERE drop_id = {drop:String} AND topic = 'pace' AND subject = ''
        UNION ALL
        SELECT as_of, details['pace'] FROM estimates
        WHERE drop_id = {drop:String} AND metric = 'edge_projection' AND as_of >= {from:DateTime64(3,'UTC')}
    )
    WHERE at < {to:DateTime64(3,'UTC')}
) AS p
GROUP BY time
ORDER BY time

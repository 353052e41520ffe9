-- purpose: The pace of a drop: the share of optional work that is let through; below 1 more was spent than planned (DOMAIN 9).
-- grain: One row per step with a published estimate.
-- units: Share in [0, 1].
-- maturity: Final; a later estimate does not change an earlier one.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
SELECT toStartOfInterval(e.as_of, toIntervalSecond({step_s:Int64})) AS time, argMax(e.details['pace'], e.revision) AS pace
FROM estimates AS e
WHERE e.drop_id = {drop:String} AND e.metric = 'edge_projection' AND e.as_of >= {from:DateTime64(3,'UTC')} AND e.as_of < {to:DateTime64(3,'UTC')}
GROUP BY time
ORDER BY time

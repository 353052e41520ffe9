-- purpose: A drop's edge spending against its plan, with the projection to its end; the plan is the budget times the forecast share of traffic, and above the line of the budget nothing may go (DOMAIN 9).
-- grain: One row per step with a published estimate.
-- units: Major units of currency (nano-units divided by 10^9), cumulative.
-- maturity: spent_provisional holds what can still change, spent the final numbers; projected is what is spent plus the rate of the last 15 min until the drop's end.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
SELECT
    toStartOfInterval(e.as_of, toIntervalSecond({step_s:Int64})) AS time,
    substring(argMax(toString(e.unit), e.revision), 6) AS currency,
    if(argMax(e.maturity = 'final', e.revision), argMax(e.details['spent'], e.revision) / 1e9, NULL) AS spent,
    if(argMax(e.maturity = 'final', e.revision), NULL, argMax(e.details['spent'], e.revision) / 1e9) AS spent_provisional,
    argMax(e.details['planned'], e.revision) / 1e9 AS planned,
    argMax(tuple(e.value), e.revision).1 / 1e9 AS projected,
    nullIf(argMax(e.details['budget'], e.revision), 0) / 1e9 AS budget
FROM estimates AS e
WHERE e.drop_id = {drop:String} AND e.metric = 'edge_projection' AND e.enough AND e.as_of >= {from:DateTime64(3,'UTC')} AND e.as_of < {to:DateTime64(3,'UTC')}
GROUP BY time
ORDER BY time

-- purpose: Edge cost per conversion of a drop over time: what all requests of the step cost, by the first completed checkouts in it.
-- grain: One row per step and currency with a conversion.
-- units: Major units of currency per conversion.
-- maturity: provisional holds a step with a pane that can still change, cost that of the others.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
SELECT
    toStartOfInterval(c.pane_start, toIntervalSecond({step_s:Int64})) AS time,
    c.currency AS currency,
    if((max(c.maturity != 'final') AS open) = 1, NULL, (sum(c.cost) / 1e9 / sum(c.conversions) AS each)) AS cost,
    if(open = 1, each, NULL) AS provisional
FROM edge_cost_latest AS c
WHERE c.drop_id = {drop:String} AND c.cost IS NOT NULL AND c.pane_start >= {from:DateTime64(3,'UTC')} AND c.pane_start < {to:DateTime64(3,'UTC')} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, c.pop))
GROUP BY time, currency
HAVING sum(c.conversions) > 0
ORDER BY time, currency

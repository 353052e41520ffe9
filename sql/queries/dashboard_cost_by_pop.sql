-- purpose: Edge cost of a drop over time by POP, probes and warm-up included.
-- grain: One row per step, POP and currency with a cost.
-- units: Major units of currency (nano-units divided by 10^9) per minute.
-- maturity: provisional holds the cost of a step with a pane that can still change, cost that of the others.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
SELECT
    toStartOfInterval(c.pane_start, toIntervalSecond({step_s:Int64})) AS time,
    if(c.pop = '', '(none)', c.pop) AS pop,
    c.currency AS currency,
    if((max(c.maturity != 'final') AS open) = 1, NULL, (sum(c.cost) / 1e9 * 60 / {step_s:Int64} AS total)) AS cost,
    if(open = 1, total, NULL) AS provisional
FROM edge_cost_latest AS c
WHERE c.drop_id = {drop:String} AND c.cost IS NOT NULL AND c.pane_start >= {from:DateTime64(3,'UTC')} AND c.pane_start < {to:DateTime64(3,'UTC')} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, c.pop))
GROUP BY time, pop, currency
ORDER BY time, pop, currency

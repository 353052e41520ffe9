-- purpose: Conversions per minute of a drop, minute by minute, for a graph.
-- grain: One row per minute and POP.
-- units: Conversions (players' first completed checkouts) in that minute.
-- maturity: final when every pane of the minute is final, else provisional.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    toStartOfMinute(pane_start) AS time,
    pop,
    sum(conversions) AS conversions,
    if(countIf(v.maturity != 'final') > 0, 'provisional', 'final') AS maturity
FROM velocity_latest AS v
WHERE drop_id = {drop:String} AND pane_start >= {from:DateTime64(3,'UTC')} AND pane_start < {to:DateTime64(3,'UTC')}
GROUP BY time, pop
ORDER BY time, pop

-- purpose: Share of the players who landed in a step, by their landing's POP, that has converted by the end of the range.
-- grain: One row per step of the landing and POP.
-- units: Share in [0, 1] of landed players.
-- maturity: Recent landings have had less time to convert; the share of a step only grows.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
SELECT
    toStartOfInterval(fromUnixTimestamp64Milli(toUnixTimestamp64Milli(v.pane_start) - s.1 * v.pane_ms, 'UTC'),
        toIntervalSecond({step_s:Int64})) AS time,
    v.pop AS pop,
    sum(s.3) / sum(s.2) AS converted
FROM
(
    -- Panes back to the landing, landed, converted: a convert counts in its landing's pane.
    SELECT pane_start, pane_ms, pop, arrayJoin(arrayConcat(
        [(toInt64(0), toInt64(landing_players), toInt64(0))],
        arrayMap((panes, n) -> (toInt64(panes), toInt64(0), toInt64(n)), ttc_panes, ttc_count))) AS s
    FROM velocity_latest
    WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
      AND pane_start < {to:DateTime64(3,'UTC')}
) AS v
GROUP BY time, pop
HAVING sum(s.2) > 0 AND time >= {from:DateTime64(3,'UTC')}
ORDER BY time, pop

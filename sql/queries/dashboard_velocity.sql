-- purpose: Conversion velocity of a drop over trailing windows: v_W(t) = C[t-W, t) / min(W, t-start) (DOMAIN 2.1).
-- grain: One row per step after the drop's start, up to the newest pane's end.
-- units: Conversions (players' first completed checkouts) per minute.
-- maturity: provisional is 1 where a pane of the 15-minute window can still change, else NULL.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
WITH
    panes AS
    (
        SELECT
            toUnixTimestamp64Milli(v.pane_start) AS at,
            sum(v.conversions) AS n,
            max(v.maturity != 'final') AS open
        FROM velocity_latest AS v
        WHERE v.drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, v.pop))
          AND v.pane_start >= {from:DateTime64(3,'UTC')} - INTERVAL 15 MINUTE AND v.pane_start < {to:DateTime64(3,'UTC')}
          AND toUnixTimestamp64Milli(v.pane_start) + v.pane_ms > start
        GROUP BY v.pane_start
    ),
    (SELECT (toUnixTimestamp64Milli(starts), toUnixTimestamp64Milli(ends)) FROM drops FINAL WHERE drop_id = {drop:String}) AS times,
    times.1 AS start,
    times.2 AS end,
    -- A pane's revisions agree on where it lies, so all rows tell, which is faster than the newest ones alone.
    (
        SELECT (toInt64(greatest(max(v.pane_ms), 1)), max(toUnixTimestamp64Milli(v.pane_start) + v.pane_ms)) FROM velocity AS v
        WHERE v.drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, v.pop))
          AND v.pane_start >= {from:DateTime64(3,'UTC')} - INTERVAL 15 MINUTE AND v.pane_start < {to:DateTime64(3,'UTC')}
          AND toUnixTimestamp64Milli(v.pane_start) + v.pane_ms > start
    ) AS extent,
    extent.1 AS pane,
    extent.2 AS newest,
    pane * greatest(1, intDiv({step_s:Int64} * 1000 + pane - 1, pane)) AS step,
    intDiv(greatest(start, toUnixTimestamp64Milli({from:DateTime64(3,'UTC')})), step) * step + step AS first,
    least(end, newest, toUnixTimestamp64Milli({to:DateTime64(3,'UTC')})) AS last
SELECT
    fromUnixTimestamp64Milli(at, 'UTC') AS time,
    n1 / (least(60000, at - start) / 60000) AS `1 min`,
    n5 / (least(300000, at - start) / 60000) AS `5 min`,
    n15 / (least(900000, at - start) / 60000) AS `15 min`,
    if(open15 = 1, 1, NULL) AS provisional
FROM
(
    -- Points and panes in one order: each point sums the panes before it, and no pane is read twice.
    SELECT
        at,
        point,
        sum(n) OVER (ORDER BY at RANGE BETWEEN 60000 PRECEDING AND 1 PRECEDING) AS n1,
        sum(n) OVER (ORDER BY at RANGE BETWEEN 300000 PRECEDING AND 1 PRECEDING) AS n5,
        sum(n) OVER (ORDER BY at RANGE BETWEEN 900000 PRECEDING AND 1 PRECEDING) AS n15,
        max(open) OVER (ORDER BY at RANGE BETWEEN 900000 PRECEDING AND 1 PRECEDING) AS open15
    FROM
    (
        SELECT at, n, open, 0 AS point FROM panes
        UNION ALL
        SELECT arrayJoin(range(assumeNotNull(first), assumeNotNull(last) + 1, assumeNotNull(step))) AS at, 0 AS n, 0 AS open, 1 AS point
    )
)
WHERE point = 1
ORDER BY time

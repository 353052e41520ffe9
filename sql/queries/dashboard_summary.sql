-- purpose: A drop at a glance, up to the end of the range.
-- grain: One row.
-- units: Players; shares in [0, 1]; seconds. gap_share is funnel_gap players per landed player; alarm above 0.02.
-- maturity: maturity says whether any pane counted can still change; open_panes how many can.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    sum(v.landing_players) AS landed,
    sum(v.conversions) AS converted,
    if(landed = 0, NULL, sum(v.completed_players) / landed) AS ordered_rate,
    if(landed = 0, NULL, sum(v.funnel_gap) / landed) AS gap_share,
    uniqIf(v.pane_start, v.maturity != 'final') AS open_panes,
    if(countIf(v.maturity != 'final') > 0, 'provisional', 'final') AS maturity
FROM velocity_latest AS v
WHERE v.drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, v.pop))
  AND v.pane_start < {to:DateTime64(3,'UTC')}
HAVING count() > 0

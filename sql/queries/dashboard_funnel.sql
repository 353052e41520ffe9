-- purpose: The ordered funnel of a drop up to the end of the range, from the processors' partials (DOMAIN 2.1).
-- grain: One row per step.
-- units: players in ordered steps; share of the landed players in [0, 1]; events of the step in any order.
-- maturity: maturity says whether any pane counted can still change.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    s.1 AS step,
    s.2 AS players,
    if(landed = 0, NULL, s.2 / landed) AS share,
    s.3 AS events,
    maturity
FROM
(
    SELECT
        sum(v.landing_players) AS landed,
        if(countIf(v.maturity != 'final') > 0, 'provisional', 'final') AS maturity,
        arrayJoin([
            ('landing', sum(v.landing_players), sum(v.landing_events)),
            ('impression', sum(v.impression_players), sum(v.impression_events)),
            ('click', sum(v.click_players), sum(v.click_events)),
            ('started', sum(v.started_players), sum(v.started_events)),
            ('completed', sum(v.completed_players), sum(v.completed_events))]) AS s
    FROM velocity_latest AS v
    WHERE v.drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, v.pop))
      AND v.pane_start < {to:DateTime64(3,'UTC')}
    HAVING count() > 0
)

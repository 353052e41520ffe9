-- purpose: A drop's edge spending at the end of the range: spent and projected against the budget (red from 100 %), the pace, the level of the budget and what is shed (DOMAIN 9).
-- grain: One row, or none without costs.
-- units: Major units of currency (nano-units divided by 10^9), NULL without a price list, and note says so; shares of the budget; pace is the share of optional work let through.
-- maturity: Column maturity; a projection is what is spent plus the rate of the last 15 min until the drop's end.
-- param drop String: drop id.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    if(s.enough, s.details['spent'] / 1e9, NULL) AS spent,
    s.details['budget'] / 1e9 AS budget,
    spent / nullIf(budget, 0) AS spent_share,
    if(s.enough, s.value / 1e9, NULL) AS projected,
    projected / nullIf(budget, 0) AS projected_share,
    s.details['pace'] AS pace,
    if(l.level = '', 'ok', l.level) AS level,
    if(l.shed = '', 'none', l.shed) AS shed,
    substring(s.unit, 6) AS currency,
    s.maturity AS maturity,
    s.why AS note
FROM
(
    SELECT argMax((e.details, e.value, e.unit, e.maturity, e.why, e.enough), e.revision) AS newest,
        newest.1 AS details, newest.2 AS value, toString(newest.3) AS unit, toString(newest.4) AS maturity, newest.5 AS why, newest.6 AS enough
    FROM estimates AS e
    WHERE e.drop_id = {drop:String} AND e.metric = 'edge_projection' AND e.as_of < {to:DateTime64(3,'UTC')}
    HAVING count() > 0
) AS s
CROSS JOIN
(
    SELECT argMaxIf(toString(chosen), at, topic = 'budget') AS level, argMaxIf(toString(chosen), at, topic = 'shed') AS shed
    FROM decisions
    WHERE drop_id = {drop:String} AND topic IN ('budget', 'shed') AND subject = '' AND at < {to:DateTime64(3,'UTC')}
) AS l

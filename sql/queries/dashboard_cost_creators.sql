-- purpose: What the chosen creators cost at the edge in the range, inside their drops and outside.
-- grain: One row per creator and currency, the dearest 100; requests that name no creator count for the creator of their drop.
-- units: Major units of currency, probes and warm-up included; requests weigh 1/sample_rate; NULL without a price or conversion.
-- maturity: Column maturity: final when every pane is.
-- param creators Array(String): creator ids; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    if((if(c.creator_id = '', toString(d.creator_id), toString(c.creator_id)) AS id) = '', '(none)', id) AS creator,
    c.currency AS currency,
    uniqExactIf(c.drop_id, c.drop_id != '') AS drops,
    sum(c.cost) / 1e9 AS cost,
    if(cost IS NULL, NULL, ifNull(sumIf(c.cost, c.drop_id = ''), 0) / 1e9) AS outside_drops,
    round(sumIf(c.requests_micro, NOT c.synthetic) / 1e6) AS requests,
    sum(c.conversions) AS conversions,
    cost / nullIf(conversions, 0) AS per_conversion,
    if(countIf(c.maturity != 'final') > 0, 'provisional', 'final') AS maturity
FROM edge_cost_latest AS c
LEFT JOIN (SELECT drop_id, creator_id FROM drops FINAL) AS d ON d.drop_id = c.drop_id
WHERE c.pane_start >= {from:DateTime64(3,'UTC')} AND c.pane_start < {to:DateTime64(3,'UTC')} AND (has({creators:Array(String)}, '*') OR has({creators:Array(String)}, if(c.creator_id = '', toString(d.creator_id), toString(c.creator_id))))
GROUP BY creator, currency
ORDER BY cost DESC NULLS LAST, creator, currency
LIMIT 100

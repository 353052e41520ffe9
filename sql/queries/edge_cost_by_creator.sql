-- purpose: What creators cost at the edge, inside their drops and outside.
-- grain: One row per creator and currency; requests that name no creator count for the creator of their drop, else for the empty one. The currency is empty where no price list applied.
-- units: cost in nano-units of currency, synthetic requests included; requests weigh 1/sample_rate; NULL where there is no price or no conversion.
-- maturity: final when every pane is final, else provisional.
-- param from DateTime64(3,'UTC') = 1970-01-01: start of the range, event time.
-- param to DateTime64(3,'UTC') = 2200-01-01: end of the range, exclusive.
SELECT
    if(c.creator_id = '', d.creator_id, c.creator_id) AS creator,
    c.currency AS currency,
    uniqExactIf(c.drop_id, c.drop_id != '') AS drops,
    round(sumIf(c.requests_micro, NOT c.synthetic) / 1e6) AS requests,
    sum(c.conversions) AS conversions,
    sum(c.cost) AS cost,
    sumIf(c.cost, c.drop_id = '') AS cost_outside_drops,
    cost / nullIf(conversions, 0) AS cost_per_conversion,
    if(countIf(c.maturity != 'final') > 0, 'provisional', 'final') AS maturity
FROM edge_cost_latest AS c
LEFT JOIN (SELECT drop_id, creator_id FROM drops FINAL) AS d ON d.drop_id = c.drop_id
WHERE c.pane_start >= {from:DateTime64(3,'UTC')} AND c.pane_start < {to:DateTime64(3,'UTC')}
GROUP BY creator, currency
ORDER BY cost DESC NULLS LAST, creator, currency

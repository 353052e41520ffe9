-- purpose: What a drop cost at the edge by POP in the range, per request and per conversion (DOMAIN 9).
-- grain: One row per POP and currency, the dearest 100; the currency is empty where no price list applied.
-- units: Major units of currency; synthetic is the part of cost for probes and warm-up; per_million over players' requests alone; requests weigh 1/sample_rate; NULL without a price, request or conversion.
-- maturity: Column maturity: final when every pane is.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    if(c.pop = '', '(none)', c.pop) AS pop,
    c.currency AS currency,
    sum(c.cost) / 1e9 AS cost,
    cost / sum(cost) OVER (PARTITION BY currency) AS share,
    if(cost IS NULL, NULL, ifNull(sumIf(c.cost, c.synthetic), 0) / 1e9) AS synthetic,
    round(sumIf(c.requests_micro, NOT c.synthetic) / 1e6) AS requests,
    (cost - ifNull(synthetic, 0)) * 1e6 / nullIf(requests, 0) AS per_million,
    sum(c.conversions) AS conversions,
    cost / nullIf(conversions, 0) AS per_conversion,
    if(countIf(c.maturity != 'final') > 0, 'provisional', 'final') AS maturity
FROM edge_cost_latest AS c
WHERE c.drop_id = {drop:String} AND c.pane_start >= {from:DateTime64(3,'UTC')} AND c.pane_start < {to:DateTime64(3,'UTC')} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, c.pop))
GROUP BY pop, currency
ORDER BY cost DESC NULLS LAST, pop, currency
LIMIT 100

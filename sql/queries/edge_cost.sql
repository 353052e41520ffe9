-- purpose: What a drop cost at the edge by POP, per request and per conversion (DOMAIN 9).
-- grain: One row per POP and currency; the currency is empty where no price list applied.
-- units: cost in nano-units of currency, synthetic requests included; cost_per_request over players' requests alone; requests weigh 1/sample_rate; NULL where there is no price, no request or no conversion.
-- maturity: final when every pane is final, else provisional.
-- param drop String: drop id; empty for traffic outside drops.
SELECT
    pop,
    c.currency AS currency,
    round(sumIf(requests_micro, NOT synthetic) / 1e6) AS requests,
    round(sumIf(requests_micro, synthetic) / 1e6) AS synthetic_requests,
    sum(cpu_us) / 1000 AS cpu_ms,
    sum(egress_bytes) AS egress,
    sum(c.conversions) AS conversions,
    sum(c.cost) AS cost,
    sumIf(c.cost, synthetic) AS synthetic_cost,
    (cost - ifNull(synthetic_cost, 0)) * 1e6 / nullIf(sumIf(requests_micro, NOT synthetic), 0) AS cost_per_request,
    cost / nullIf(conversions, 0) AS cost_per_conversion,
    min(c.sample_rate) AS lowest_sample_rate,
    if(countIf(c.maturity != 'final') > 0, 'provisional', 'final') AS maturity
FROM edge_cost_latest AS c
WHERE drop_id = {drop:String}
GROUP BY pop, currency
ORDER BY cost DESC NULLS LAST, pop, currency

-- topic: money
-- purpose: Return of a drop: revenue net of refunds and chargebacks, less creator shares, tax and fees, edge cost and localization cost.
-- grain: One row per drop and currency.
-- units: Minor units of currency; margin_reporting of reporting_currency. Refunds, chargebacks and costs are negative. A cost that nobody has recorded is NULL and not in the margin.
-- maturity: As of now: refunds and chargebacks may still come. maturity is provisional until the drop has ended by the stored watermark.
-- param drop String = : drop id; empty takes every drop.
SELECT
    drop_id, creator_id, name, currency, checkouts, gross, refunds, chargebacks, net_revenue,
    creator_shares, tax_and_fees, edge_cost, localization_cost, margin, margin_reporting, reporting_currency, unconverted,
    arrayFilter(x -> x != '', [if(creator_shares IS NULL, 'creator shares', ''), if(edge_cost IS NULL, 'edge cost', ''), if(localization_cost IS NULL, 'localization cost', '')]) AS not_recorded,
    if(ends > toDateTime64(0, 3, 'UTC') AND (SELECT minIf(watermark, NOT idle) FROM watermarks) >= ends, 'final', 'provisional') AS maturity
FROM drop_roi
WHERE {drop:String} = '' OR drop_id = {drop:String}
ORDER BY drop_id, gross DESC, currency

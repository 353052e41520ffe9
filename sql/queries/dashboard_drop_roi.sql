-- topic: money
-- purpose: Return of the chosen creators' drops: revenue net of refunds and chargebacks, less creator shares, tax and fees, edge cost and localization cost.
-- grain: One row per drop and currency, the 100 that ended last.
-- units: Major units of currency; refunds, chargebacks and costs are negative. A cost that nobody has recorded is empty and not in the margin: not_recorded names it. margin below 0 is a loss.
-- maturity: maturity is provisional until the drop has ended by the stored watermark; refunds and chargebacks may still come. The numbers are copied every five minutes.
-- param creators Array(String): creator ids; an element * stands for all.
SELECT
    r.drop_id AS drop_id, r.name AS name, r.creator_id AS creator, r.currency AS currency, r.checkouts AS checkouts,
    r.gross / unit AS gross,
    r.refunds / unit AS refunds,
    r.chargebacks / unit AS chargebacks,
    r.net_revenue / unit AS net_revenue,
    r.creator_shares / unit AS creator_shares,
    r.tax_and_fees / unit AS tax_and_fees,
    r.edge_cost / unit AS edge_cost,
    r.localization_cost / unit AS localization_cost,
    r.margin / unit AS margin,
    if(r.gross = 0, NULL, r.margin / r.gross) AS margin_of_gross,
    arrayStringConcat(arrayFilter(x -> x != '', [if(r.creator_shares IS NULL, 'creator shares', ''), if(r.edge_cost IS NULL, 'edge cost', ''), if(r.localization_cost IS NULL, 'localization cost', '')]), ', ') AS not_recorded,
    r.maturity AS maturity
FROM
(
    SELECT d.*, exp10(c.exponent) AS unit
    FROM drop_roi_copies AS d
    LEFT JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS c ON c.code = d.currency
    WHERE d.refreshed = (SELECT max(refreshed) FROM drop_roi_copies) AND (has({creators:Array(String)}, '*') OR has({creators:Array(String)}, d.creator_id))
) AS r
ORDER BY r.ends DESC, drop_id, r.gross DESC, currency
LIMIT 100

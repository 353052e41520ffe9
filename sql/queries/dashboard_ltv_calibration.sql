-- topic: cohorts
-- purpose: Predicted lifetimes against what came since, by decile of predicted purchases: does who was predicted to buy more buy more, and as much? Of each model the newest fit and the newest one whose horizon is over.
-- grain: One row per model, creator, currency, fit and tenth of the buyers, 1 the lowest predicted, at most 100.
-- units: predicted and observed are purchases per buyer within the horizon (days with one for bgnbd, drops bought from for bgbb), the interval is 95 % of the mean and no narrower than chance makes it at the predicted one; spend in major units of currency per buyer, undiscounted; passed is the share of the horizon that is over, and so_far what it has brought. verdict compares the prediction with the interval: of ten good deciles, one is outside every other time.
-- maturity: observed is NULL, and too young, until the horizon of every buyer of the decile is over by the watermark; refunds may still come. A fit that is replaced before that is never held against what came. The numbers are copied every half hour.
SELECT
    c.model AS model, c.creator_id AS creator, c.currency AS currency, c.as_of AS fitted, c.decile AS decile, c.buyers AS buyers,
    c.predicted AS predicted, c.observed AS observed,
    if(c.observed IS NULL, NULL, greatest(0, c.observed - 1.959963984540054 * c.observed_se)) AS low, c.observed + 1.959963984540054 * c.observed_se AS high,
    multiIf(c.observed IS NULL, 'too young', c.predicted < low, 'more came', c.predicted > high, 'fewer came', 'as predicted') AS verdict,
    c.so_far AS so_far, c.passed AS passed, c.horizon AS horizon,
    c.predicted_spend / u.unit AS predicted_spend, c.observed_spend / u.unit AS observed_spend
FROM ltv_calibration_copies AS c FINAL
INNER JOIN
(
    SELECT model, creator_id, currency, argMax(fit, (refreshed, as_of)) AS newest, argMaxIf(fit, (as_of, refreshed), whole) AS newest_mature
    FROM (SELECT model, creator_id, currency, fit, any(as_of) AS as_of, max(ltv_calibration_copies.refreshed) AS refreshed, min(mature) = 1 AS whole FROM ltv_calibration_copies FINAL GROUP BY model, creator_id, currency, fit)
    GROUP BY model, creator_id, currency
) AS f ON f.model = c.model AND f.creator_id = c.creator_id AND f.currency = c.currency
LEFT JOIN (SELECT toString(code) AS code, exp10(exponent) AS unit FROM currencies FINAL) AS u ON u.code = c.currency
WHERE c.fit IN (f.newest, f.newest_mature)
ORDER BY model, creator, currency, fitted DESC, decile
LIMIT 100

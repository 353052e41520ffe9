-- topic: money
-- purpose: Revenue of a drop: gross, refunds, chargebacks and net, by currency and in the reporting currency.
-- grain: One row per currency.
-- units: Minor units of currency (reporting_net: of reporting_currency). checkouts and buyers are counts.
-- maturity: As of now: refunds and chargebacks may still come.
-- param drop String: drop id.
SELECT
    currency,
    countIf(type = 'completed') AS checkouts,
    uniqExactIf(player_id, type = 'completed') AS buyers,
    sumIf(amount, type = 'completed') AS gross,
    -sumIf(amount, type = 'refunded') AS refunds,
    -sumIf(amount, type = 'chargeback') AS chargebacks,
    sum(amount) AS net,
    sum(amount_reporting) AS reporting_net,
    any(p.reporting_currency) AS reporting_currency,
    countIf(amount_reporting IS NULL) AS unconverted
FROM purchases AS p FINAL
WHERE drop_id = {drop:String}
GROUP BY currency
ORDER BY gross DESC, currency

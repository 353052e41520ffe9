-- purpose: Revenue of a drop over time by currency, for a graph.
-- grain: One row per minute and currency.
-- units: Minor units of currency; reporting_net in minor units of the reporting currency.
-- maturity: Refund-dated: a past minute changes only when late records arrive.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    toStartOfMinute(effective_time) AS time,
    currency,
    sumIf(amount, type = 'completed') AS gross,
    -sumIf(amount, type = 'refunded') AS refunds,
    -sumIf(amount, type = 'chargeback') AS chargebacks,
    sum(amount) AS net,
    sum(amount_reporting) AS reporting_net
FROM purchases FINAL
WHERE drop_id = {drop:String} AND effective_time >= {from:DateTime64(3,'UTC')} AND effective_time < {to:DateTime64(3,'UTC')}
GROUP BY time, currency
ORDER BY time, currency

-- topic: money
-- purpose: What a drop earned and cost, line by line in the reporting currency: the steps from gross revenue to margin.
-- grain: One row per line.
-- units: amount in minor units of reporting_currency, costs negative; left_out counts records without a rate, which amount does not hold; running is the sum up to the line.
-- maturity: As of now: refunds and chargebacks may still come.
-- param drop String: drop id.
SELECT
    line, records, amount, sum(amount) OVER (ORDER BY position, line) AS running, reporting_currency, left_out
FROM
(
    SELECT
        line,
        indexOf(['gross', 'refunds', 'chargebacks', 'creator shares', 'tax and fees', 'edge', 'localization'], line) AS position,
        sum(l.records) AS records,
        sum(l.amount_reporting) AS amount,
        any(l.reporting_currency) AS reporting_currency,
        sum(l.unconverted) AS left_out
    FROM drop_lines AS l
    WHERE drop_id = {drop:String}
    GROUP BY line
)
ORDER BY position, line

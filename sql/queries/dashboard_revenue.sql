-- purpose: Revenue of a drop over time by currency, refunds and chargebacks at their own time.
-- grain: One row per step and currency.
-- units: Major units of currency (minor units divided by 10^exponent). returns is refunds plus chargebacks, negative. reported is the net in the reporting currency, whose code is reporting, at the rate of its day; 0 without a rate.
-- maturity: net_provisional holds the net of a step with a pane that can still change, net that of the others; reported_provisional and reported likewise.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
WITH ifNull((SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency'), '') AS reporting
SELECT
    toStartOfInterval(v.pane_start, toIntervalSecond({step_s:Int64})) AS time,
    v.code AS currency,
    reporting,
    if((max(v.maturity != 'final') AS open) = 1, NULL, (sum(v.minor) / exp10(any(c.exponent)) AS total)) AS net,
    if(open = 1, total, NULL) AS net_provisional,
    -sum(v.back) / exp10(any(c.exponent)) AS returns,
    if(open = 1, NULL, (sum(v.minor * if(v.code = reporting, 1, toFloat64(r.rate))) / exp10(any(c.exponent)) AS exchanged)) AS reported,
    if(open = 1, exchanged, NULL) AS reported_provisional
FROM
(
    SELECT pane_start, toDate(pane_start) AS day, maturity, arrayJoin(arrayZip(money_currency, money_gross, money_refunds, money_chargebacks)) AS m,
        m.1 AS code, m.2 - m.3 - m.4 AS minor, m.3 + m.4 AS back
    FROM velocity_latest
    WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
      AND pane_start >= {from:DateTime64(3,'UTC')} AND pane_start < {to:DateTime64(3,'UTC')}
) AS v
INNER JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = v.code
ASOF LEFT JOIN (SELECT base, date, rate FROM fx_rates FINAL WHERE quote = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS r
    ON r.base = v.code AND v.day >= r.date
WHERE has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, v.code)
GROUP BY time, currency
ORDER BY time, currency

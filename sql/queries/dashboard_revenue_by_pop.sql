-- purpose: Net revenue of a drop over time by the POP of the checkout and currency.
-- grain: One row per step, POP and currency.
-- units: Major units of currency (minor units divided by 10^exponent), refunds and chargebacks at their own time. reported is the same in the reporting currency, whose code is reporting, at the rate of its day; 0 without a rate.
-- maturity: Steps with panes that can still change are provisional; dashboard_velocity shows which.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
WITH ifNull((SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency'), '') AS reporting
SELECT
    toStartOfInterval(v.pane_start, toIntervalSecond({step_s:Int64})) AS time,
    v.pop AS pop,
    v.code AS currency,
    reporting,
    sum(v.minor) / exp10(any(c.exponent)) AS net,
    sum(v.minor * if(v.code = reporting, 1, toFloat64(r.rate))) / exp10(any(c.exponent)) AS reported
FROM
(
    SELECT pane_start, toDate(pane_start) AS day, pop, arrayJoin(arrayZip(money_currency, money_gross, money_refunds, money_chargebacks)) AS m,
        m.1 AS code, m.2 - m.3 - m.4 AS minor
    FROM velocity_latest
    WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
      AND pane_start >= {from:DateTime64(3,'UTC')} AND pane_start < {to:DateTime64(3,'UTC')}
) AS v
INNER JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = v.code
ASOF LEFT JOIN (SELECT base, date, rate FROM fx_rates FINAL WHERE quote = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS r
    ON r.base = v.code AND v.day >= r.date
WHERE has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, v.code)
GROUP BY time, pop, currency
ORDER BY time, pop, currency

-- purpose: Revenue of a drop over time by currency, refunds and chargebacks at their own time.
-- grain: One row per step and currency.
-- units: Major units of currency (minor units divided by 10^exponent). returns is refunds plus chargebacks, negative.
-- maturity: net_provisional holds the net of a step with a pane that can still change, net that of the others.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
SELECT
    toStartOfInterval(v.pane_start, toIntervalSecond({step_s:Int64})) AS time,
    m.1 AS currency,
    if((max(v.maturity != 'final') AS open) = 1, NULL, (sum(m.2 - m.3 - m.4) / exp10(any(c.exponent)) AS total)) AS net,
    if(open = 1, total, NULL) AS net_provisional,
    -sum(m.3 + m.4) / exp10(any(c.exponent)) AS returns
FROM
(
    SELECT pane_start, pane_ms, maturity, arrayJoin(arrayZip(money_currency, money_gross, money_refunds, money_chargebacks)) AS m
    FROM velocity_latest
    WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
      AND pane_start >= {from:DateTime64(3,'UTC')} AND pane_start < {to:DateTime64(3,'UTC')}
) AS v
INNER JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = m.1
WHERE has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, m.1)
GROUP BY time, currency
ORDER BY time, currency

-- purpose: Net revenue of a drop so far by currency, refunds and chargebacks at their own time.
-- grain: One row per step and currency; the last one is the total up to the range's end.
-- units: Major units of currency (minor units divided by 10^exponent), added up since the first pane, which may lie before the range.
-- maturity: Provisional while panes can still change: the state beside it says so.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
SELECT time, currency, sum(minor) OVER (PARTITION BY currency ORDER BY time) / exp10(exponent) AS net
FROM
(
    SELECT
        greatest(toStartOfInterval(v.pane_start, toIntervalSecond({step_s:Int64})), toDateTime({from:DateTime64(3,'UTC')})) AS time,
        m.1 AS currency,
        sum(m.2 - m.3 - m.4) AS minor,
        any(c.exponent) AS exponent
    FROM
    (
        SELECT pane_start, arrayJoin(arrayZip(money_currency, money_gross, money_refunds, money_chargebacks)) AS m
        FROM velocity_latest
        WHERE drop_id = {drop:String} AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
          AND pane_start < {to:DateTime64(3,'UTC')}
    ) AS v
    INNER JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = m.1
    WHERE has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, m.1)
    GROUP BY time, currency
)
ORDER BY time, currency

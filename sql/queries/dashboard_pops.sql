-- purpose: POPs of a drop compared, up to the end of the range: latency, conversion and revenue side by side.
-- grain: One row per POP.
-- units: p50 and p95 in ms over landing requests, within 1 % by the sketches' default accuracy; converted in [0, 1] of the players who landed there; revenue in major units of the reporting currency, net, by the POP of the checkout, every amount at the rate of its own day.
-- maturity: maturity says whether any of the POP's panes can still change. revenue leaves out currencies without a rate.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
WITH
    (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency') AS reporting
SELECT
    pop,
    sum(landed) AS players,
    max(p50) AS p50_ms,
    max(p95) AS p95_ms,
    if(players = 0, NULL, sum(conversions) / players) AS converted,
    sum(net) AS revenue,
    reporting AS currency,
    max(state) AS maturity
FROM
(
    SELECT pop, sum(landing_players) AS landed, sum(arraySum(ttc_count)) AS conversions,
        NULL AS p50, NULL AS p95, toFloat64(0) AS net, if(countIf(v.maturity != 'final') > 0, 'provisional', 'final') AS state
    FROM velocity_latest AS v
    WHERE drop_id = {drop:String} AND pane_start < {to:DateTime64(3,'UTC')}
    GROUP BY pop
    UNION ALL
    SELECT pop, 0, 0, values[1], values[2], 0., ''
    FROM
    (
        SELECT
            pop, accuracy AS error, sum(s.zero) AS zeros, sumMap(bin_index, bin_weight) AS bins,
            zeros + arraySum(bins.2) AS weight, arrayCumSum(bins.2) AS cumulative,
            arrayMap(q -> if(q * (weight - 1000) < zeros, 0.,
                pow((1 + error) / (1 - error), bins.1[arrayFirstIndex(x -> x + zeros > q * (weight - 1000), cumulative)]) * (1 + error)), [0.5, 0.95]) AS values
        FROM latency_sketches_latest AS s
        WHERE drop_id = {drop:String} AND request = 'landing' AND pane_start < {to:DateTime64(3,'UTC')}
        GROUP BY pop, error
        ORDER BY weight DESC
        LIMIT 1 BY pop
    )
    UNION ALL
    SELECT m.pop, 0, 0, NULL, NULL, sum(m.minor * if(m.code = reporting, 1, toFloat64(r.rate)) / exp10(c.exponent)), ''
    FROM
    (
        SELECT pop, day, money.1 AS code, sum(money.2 - money.3 - money.4) AS minor
        FROM
        (
            SELECT pop, toDate(pane_start) AS day, arrayJoin(arrayZip(money_currency, money_gross, money_refunds, money_chargebacks)) AS money
            FROM velocity_latest
            WHERE drop_id = {drop:String} AND pane_start < {to:DateTime64(3,'UTC')}
        )
        GROUP BY pop, day, code
    ) AS m
    INNER JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = m.code
    ASOF LEFT JOIN (SELECT base, date, rate FROM fx_rates FINAL WHERE quote = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS r
        ON r.base = m.code AND m.day >= r.date
    GROUP BY m.pop
)
WHERE has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop)
GROUP BY pop
ORDER BY players DESC, pop
LIMIT 200

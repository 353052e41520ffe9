-- purpose: POPs of a drop compared, up to the end of the range: latency, conversion and revenue side by side.
-- grain: One row per POP.
-- units: p50 and p95 in ms over landing requests; converted in [0, 1] of the players who landed there; revenue in major units of the reporting currency, net, by the POP of the checkout.
-- maturity: maturity says whether any of the POP's panes can still change. revenue leaves out purchases without a rate.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
WITH
    (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency') AS reporting,
    (SELECT exponent FROM currencies FINAL WHERE code = reporting) AS digits
SELECT
    pop,
    sum(landed) AS players,
    max(p50) AS p50_ms,
    max(p95) AS p95_ms,
    if(players = 0, NULL, sum(conversions) / players) AS converted,
    sum(net) / exp10(digits) AS revenue,
    reporting AS currency,
    max(state) AS maturity
FROM
(
    SELECT pop, sum(landing_players) AS landed, sum(arraySum(ttc_count)) AS conversions,
        NULL AS p50, NULL AS p95, 0 AS net, if(countIf(v.maturity != 'final') > 0, 'provisional', 'final') AS state
    FROM velocity_latest AS v
    WHERE drop_id = {drop:String} AND pane_start < {to:DateTime64(3,'UTC')}
    GROUP BY pop
    UNION ALL
    SELECT pop, 0, 0,
        quantileExactWeighted(0.5)(ms, toUInt32(round(100 / sample_rate))),
        quantileExactWeighted(0.95)(ms, toUInt32(round(100 / sample_rate))), 0, ''
    FROM latency_events
    WHERE drop_id = {drop:String} AND request = 'landing' AND NOT synthetic AND NOT quarantined AND at < {to:DateTime64(3,'UTC')}
    GROUP BY pop
    UNION ALL
    SELECT pop, 0, 0, NULL, NULL, sum(ifNull(amount_reporting, 0)), ''
    FROM purchases FINAL
    WHERE drop_id = {drop:String} AND effective_time < {to:DateTime64(3,'UTC')}
    GROUP BY pop
)
WHERE has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop)
GROUP BY pop
ORDER BY players DESC, pop

-- purpose: What a drop lost to landing latency above its budget, as a whole and by POP, out of one model that compares like with like (DOMAIN 5).
-- grain: One row per POP, or the whole drop, and what is lost: conversions, or revenue in a currency; at most 200.
-- units: Column unit: conversions, or major units of the currency; low to high is the 95 % interval, orange where it lies above 0: the loss is more than noise. budget_ms is the latency budget.
-- maturity: Column maturity; NULL where the data do not suffice, and why says what is missing. Label observational: nobody randomised the delay.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
SELECT
    if(e.pop = '', 'all', e.pop) AS pop,
    if(e.code = '', 'conversions', e.code) AS unit,
    e.value / exp10(e.digits) AS lost,
    e.low / exp10(e.digits) AS low,
    e.high / exp10(e.digits) AS high,
    e.details['budget_ms'] AS budget_ms,
    e.n AS viewers,
    toUInt64(e.details['viewers_above']) AS viewers_above,
    e.label AS label,
    e.why AS why,
    e.as_of AS as_of,
    e.maturity AS maturity
FROM
(
    SELECT l.*, ifNull(c.exponent, 0) AS digits
    FROM
    (
        SELECT dimensions['pop'] AS pop, dimensions['currency'] AS code, value, low, high, details, n, label, why, as_of, maturity
        FROM estimates
        WHERE drop_id = {drop:String} AND metric IN ('latency_loss_conversions', 'latency_loss_revenue')
        ORDER BY revision DESC LIMIT 1 BY pop, code
    ) AS l
    LEFT JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS c ON c.code = l.code
) AS e
WHERE (e.pop = '' OR has({pops:Array(String)}, '*') OR has({pops:Array(String)}, e.pop))
  AND (e.code = '' OR has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, e.code))
ORDER BY e.pop != '', e.pop, e.code
LIMIT 200

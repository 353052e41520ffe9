-- purpose: Revenue that a drop lost to landing latency above its budget, in the reporting currency: as the rollup stage estimated it by currency (DOMAIN 5). Observational: nobody randomised the delay.
-- grain: One row.
-- units: Major units of currency, which is the reporting currency at the rate of as_of's day. The currencies' intervals are added up end by end, so this one covers at least 95 %. Red above 0 at its lower end: the loss is more than noise.
-- maturity: Column maturity; NULL where the data do not suffice, and why says what is missing.
-- param drop String: drop id.
WITH (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency') AS reporting
SELECT
    if(complete, sum(e.value * e.factor), NULL) AS lost,
    if(complete, sum(e.low * e.factor), NULL) AS low,
    if(complete, sum(e.high * e.factor), NULL) AS high,
    reporting AS currency,
    countIf(e.enough AND e.factor > 0) = count() AND count() > 0 AS complete,
    multiIf(count() = 0, 'no estimate yet', countIf(NOT e.enough) > 0, anyIf(e.why, NOT e.enough),
        countIf(e.factor = 0) > 0, concat('no rate for ', anyIf(e.code, e.factor = 0)), '') AS why,
    maxOrNull(e.as_of) AS as_of,
    if(countIf(e.maturity != 'final') > 0 OR count() = 0, 'provisional', 'final') AS maturity
FROM
(
    SELECT l.code AS code, l.value AS value, l.low AS low, l.high AS high, l.enough AS enough, l.why AS why, l.as_of AS as_of, l.maturity AS maturity,
        if(l.code = reporting, 1, toFloat64(r.rate)) / exp10(c.exponent) AS factor
    FROM
    (
        SELECT dimensions['currency'] AS code, value, low, high, enough, why, as_of, toDate(as_of) AS day, maturity
        FROM estimates
        WHERE drop_id = {drop:String} AND metric = 'latency_loss_revenue' AND NOT mapContains(dimensions, 'pop')
        ORDER BY revision DESC LIMIT 1 BY code
    ) AS l
    LEFT JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = l.code
    ASOF LEFT JOIN (SELECT base, date, rate FROM fx_rates FINAL WHERE quote = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS r
        ON r.base = l.code AND l.day >= r.date
) AS e

-- purpose: Conversions and revenue lost to landing latency above the budget: viewers above it against those within it, stratum by stratum (DOMAIN 5). Observational: nobody randomised the delay. The narrower estimate of the rollup stage is in estimates_latest.
-- grain: One row for the drop (pop NULL) and one per POP.
-- units: lost in conversions with its 95 % interval; lost_revenue by currency in minor units, at the net revenue per conversion of the row. rate with its Wilson interval.
-- maturity: Provisional until every partial is closed (column closed); revenue until refunds stop counting (column final).
-- param drop String: drop id.
-- param budget_ms Float64 = 0: latency budget; 0 means the drop's own, or 300 ms.
-- param stratify UInt8 = 1: 1 compares within POP, device, language and age bin; 0 within the row as a whole, which confounds load with demand.
-- param min_reference UInt64 = 30: viewers within the budget that a stratum needs to stand alone; smaller ones are pooled, and left out when that is too few.
WITH
    1.959963984540054 AS z,
    [0, 50, 100, 150, 200, 300, 400, 500, 800, 1200, 2000, 5000] AS lower,
    [50, 100, 150, 200, 300, 400, 500, 800, 1200, 2000, 5000, inf] AS upper,
    partials AS (SELECT * FROM attribution_latest WHERE drop_id = {drop:String}),
    (
        SELECT multiIf({budget_ms:Float64} > 0, {budget_ms:Float64}, argMax(budget_ms, watermark) > 0, toFloat64(argMax(budget_ms, watermark)), 300.)
        FROM partials
    ) AS budget,
    strata AS
    (
        SELECT
            arrayJoin([NULL, toNullable(toString(pop))]) AS row_pop,
            if({stratify:UInt8} = 1, tuple(toString(pop), toString(device), toString(language), age_from_ms), tuple('', '', '', toInt64(0))) AS stratum,
            sumForEach(viewers) AS n,
            sumForEach(conversions) AS c,
            arraySum(arrayMap((x, u) -> if(u <= budget, x, 0), n, upper)) AS within_n,
            arraySum(arrayMap((x, u) -> if(u <= budget, x, 0), c, upper)) AS within_c,
            arraySum(arrayMap((x, l) -> if(l >= budget, x, 0), n, lower)) AS above_n,
            arraySum(arrayMap((x, l) -> if(l >= budget, x, 0), c, lower)) AS above_c,
            arraySum(arrayMap((x, y, l) -> if(l >= budget AND x > 0, y * (1 - y / x), 0), n, c, lower)) AS above_var
        FROM partials
        GROUP BY row_pop, stratum
    ),
    pooled AS
    (
        SELECT
            row_pop,
            within_n < {min_reference:UInt64} OR within_n = 0 AS small,
            if(small, tuple('', '', '', toInt64(-2)), stratum) AS key,
            count() AS parts,
            sum(s.within_n) AS ref_n, sum(s.within_c) AS ref_c, sum(s.above_n) AS slow_n, sum(s.above_c) AS slow_c, sum(s.above_var) AS slow_var
        FROM strata AS s
        GROUP BY row_pop, small, key
    ),
    losses AS
    (
        SELECT
            row_pop,
            sum(ref_n) AS viewers_within, sum(slow_n) AS viewers_above, sum(ref_c) AS conversions_within, sum(slow_c) AS conversions_above,
            sumIf(slow_n * ref_c / ref_n - slow_c, counts) AS lost,
            sqrt(sumIf(slow_var + slow_n * slow_n * (ref_c / ref_n) * (1 - ref_c / ref_n) / ref_n, counts)) AS se,
            sumIf(parts, NOT small) AS strata,
            sumIf(parts, small) AS strata_pooled,
            sumIf(slow_n, NOT counts) AS viewers_left_out
        FROM (SELECT *, ref_n > 0 AND ref_n >= {min_reference:UInt64} AS counts FROM pooled)
        GROUP BY row_pop
    ),
    worth AS
    (
        SELECT row_pop, mapFromArrays(groupArray(currency), groupArray(net)) AS net
        FROM
        (
            SELECT arrayJoin([NULL, toNullable(toString(pop))]) AS row_pop, m.1 AS currency, sum(arraySum(m.2)) AS net
            FROM partials ARRAY JOIN arrayZip(money_currency, money_net) AS m
            GROUP BY row_pop, currency
            ORDER BY row_pop, currency
        )
        GROUP BY row_pop
    ),
    states AS
    (
        SELECT arrayJoin([NULL, toNullable(toString(pop))]) AS row_pop, min(closed) AS closed, min(maturity = 'final') AS final, min(sample_rate) AS lowest_rate,
            sum(unmeasured) AS viewers_unmeasured, sum(arraySum(conversions)) AS measured_conversions, max(watermark) AS as_of
        FROM partials GROUP BY row_pop
    )
SELECT
    l.row_pop AS pop,
    budget AS budget_ms,
    l.viewers_within AS viewers_within,
    l.viewers_above AS viewers_above,
    if(l.viewers_within = 0, NULL, l.conversions_within / l.viewers_within) AS rate_within,
    if(l.viewers_above = 0, NULL, l.conversions_above / l.viewers_above) AS rate_above,
    if(l.viewers_above = 0, NULL, greatest(0, (rate_above + z * z / (2 * l.viewers_above)) / (1 + z * z / l.viewers_above)
        - z / (1 + z * z / l.viewers_above) * sqrt(rate_above * (1 - rate_above) / l.viewers_above + z * z / (4 * l.viewers_above * l.viewers_above)))) AS rate_above_low,
    if(l.viewers_above = 0, NULL, least(1, (rate_above + z * z / (2 * l.viewers_above)) / (1 + z * z / l.viewers_above)
        + z / (1 + z * z / l.viewers_above) * sqrt(rate_above * (1 - rate_above) / l.viewers_above + z * z / (4 * l.viewers_above * l.viewers_above)))) AS rate_above_high,
    l.lost AS lost,
    l.se AS se,
    l.lost - z * l.se AS low,
    l.lost + z * l.se AS high,
    mapApply((k, v) -> (k, if(s.measured_conversions = 0, 0, l.lost * v / s.measured_conversions)), w.net) AS lost_revenue,
    mapApply((k, v) -> (k, if(s.measured_conversions = 0, 0, (l.lost - z * l.se) * v / s.measured_conversions)), w.net) AS lost_revenue_low,
    mapApply((k, v) -> (k, if(s.measured_conversions = 0, 0, (l.lost + z * l.se) * v / s.measured_conversions)), w.net) AS lost_revenue_high,
    least(l.viewers_within, l.viewers_above) >= 100 AND least(l.conversions_within, l.conversions_above) >= 10 AS enough,
    'observational' AS label,
    l.strata AS strata,
    l.strata_pooled AS strata_pooled,
    l.viewers_left_out AS viewers_left_out,
    s.viewers_unmeasured AS viewers_unmeasured,
    s.lowest_rate AS sample_rate,
    s.as_of AS as_of,
    s.closed = 1 AS closed,
    s.final = 1 AS final
FROM losses AS l
INNER JOIN states AS s ON s.row_pop IS NOT DISTINCT FROM l.row_pop
LEFT JOIN worth AS w ON w.row_pop IS NOT DISTINCT FROM l.row_pop
ORDER BY pop NULLS FIRST

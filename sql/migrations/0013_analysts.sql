-- The analysts' surface: views that say what one row is, in which units, and whether it can still change. ClickHouse shows
-- comments in SHOW CREATE, DESCRIBE and system.tables.

-- Cohorted lifetime value (DOMAIN 3.1); the named query ltv_cohorts documents the parameters. An immature cell is NULL.
CREATE VIEW IF NOT EXISTS ltv_curve AS
WITH
    (SELECT if({watermark_ms:Int64} > 0, fromUnixTimestamp64Milli({watermark_ms:Int64}, 'UTC'), stored)
     FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks)) AS now_watermark,
    (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency') AS reporting,
    (SELECT max(exponent) FROM currencies WHERE code = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS digits,
    acquired_members AS
    (
        SELECT
            player_id,
            multiIf({cohort:String} = 'drop', first_drop_time, {cohort:String} = 'creator', first_creator_time, first_activity) AS acquired,
            multiIf({cohort:String} = 'drop', first_drop,
                    {cohort:String} = 'creator', first_creator,
                    {cohort:String} = 'month', formatDateTime(first_activity, '%Y-%m'),
                    formatDateTime(first_activity, '%G-W%V')) AS cohort
        FROM members
        WHERE cohort != ''
    ),
    sizes AS
    (
        SELECT
            c.cohort AS cohort,
            count() AS members,
            multiIf({cohort:String} = 'week', toDateTime64(toStartOfWeek(min(c.acquired), 1), 3, 'UTC'),
                    {cohort:String} = 'month', toDateTime64(toStartOfMonth(min(c.acquired)), 3, 'UTC'),
                    min(c.acquired)) AS cohort_start,
            multiIf({cohort:String} = 'week', cohort_start + INTERVAL 7 DAY,
                    {cohort:String} = 'month', cohort_start + INTERVAL 1 MONTH,
                    greatest(max(c.acquired) + INTERVAL 1 MILLISECOND, any(d.ends))) AS cohort_end
        FROM acquired_members AS c
        LEFT JOIN (SELECT toString(drop_id) AS drop_id, ends FROM drops FINAL WHERE {cohort:String} = 'drop') AS d ON d.drop_id = c.cohort
        GROUP BY cohort
    ),
    cells AS
    (
        SELECT
            c.cohort AS cohort,
            if({age:String} = 'calendar_month',
               toInt64(dateDiff('month', c.acquired, moment)),
               intDiv(toUnixTimestamp64Milli(moment) - toUnixTimestamp64Milli(c.acquired), {period_ms:Int64})) AS age,
            sumIf(p.amount_reporting, p.type = 'completed') AS gross,
            -sumIf(p.amount_reporting, p.type = 'refunded') AS refunds,
            -sumIf(p.amount_reporting, p.type = 'chargeback') AS chargebacks
        FROM
        (
            SELECT player_id, type, original_time, amount_reporting,
                   if({dating:String} = 'purchase', original_time, effective_time) AS moment
            FROM purchases FINAL
            WHERE amount_reporting IS NOT NULL
        ) AS p
        INNER JOIN acquired_members AS c ON c.player_id = p.player_id
        WHERE p.original_time >= c.acquired
        GROUP BY cohort, age
    )
SELECT
    g.cohort AS cohort,
    g.cohort_start AS cohort_start,
    g.cohort_end AS cohort_end,
    g.members AS members,
    g.age AS age,
    g.mature AS mature,
    if(g.mature, sum(ifNull(x.gross, 0)) OVER ages, NULL) AS gross,
    if(g.mature, sum(ifNull(x.refunds, 0)) OVER ages, NULL) AS refunds,
    if(g.mature, sum(ifNull(x.chargebacks, 0)) OVER ages, NULL) AS chargebacks,
    gross - refunds - chargebacks AS net,
    net / g.members / exp10(digits) AS ltv,
    reporting AS reporting_currency,
    now_watermark AS watermark
FROM
(
    SELECT
        s.cohort AS cohort, s.members AS members, s.cohort_start AS cohort_start, s.cohort_end AS cohort_end,
        toInt64(arrayJoin(range(toUInt32({max_age:UInt16}) + 1))) AS age,
        now_watermark >= if({age:String} = 'calendar_month',
                            toDateTime64(addMonths(toStartOfMonth(s.cohort_end - INTERVAL 1 MILLISECOND), age + 1), 3, 'UTC'),
                            addMilliseconds(s.cohort_end, (age + 1) * {period_ms:Int64})) AS mature
    FROM sizes AS s
) AS g
LEFT JOIN cells AS x ON x.cohort = g.cohort AND x.age = g.age
WINDOW ages AS (PARTITION BY g.cohort ORDER BY g.age)
COMMENT 'Cohorted lifetime value; ltv_by_week, ltv_by_drop and ltv_by_creator give it its parameters. Grain: cohort and age. Units: gross, refunds, chargebacks and net in minor units of reporting_currency, cumulative; ltv in major units per member, non-payers included. Maturity: column mature: watermark >= cohort_end + (age + 1) periods; immature cells are NULL.';

CREATE VIEW IF NOT EXISTS ltv_by_week AS
SELECT * FROM ltv_curve(cohort = 'week', dating = 'refund', age = 'member', period_ms = 604800000, max_age = 12, watermark_ms = 0)
COMMENT 'Lifetime value by ISO week (UTC) of acquisition, refunds counted when they happened. Grain: week and age in weeks, 0 to 12. Units: money in minor units of reporting_currency, cumulative; ltv in major units per member. Maturity: column mature; immature cells are NULL.';

CREATE VIEW IF NOT EXISTS ltv_by_drop AS
SELECT * FROM ltv_curve(cohort = 'drop', dating = 'refund', age = 'member', period_ms = 604800000, max_age = 12, watermark_ms = 0)
COMMENT 'Lifetime value by the first drop that a member came to, refunds counted when they happened. Grain: first drop and age in weeks, 0 to 12. Units: money in minor units of reporting_currency, cumulative; ltv in major units per member. Maturity: column mature; immature cells are NULL.';

CREATE VIEW IF NOT EXISTS ltv_by_creator AS
SELECT * FROM ltv_curve(cohort = 'creator', dating = 'refund', age = 'member', period_ms = 604800000, max_age = 12, watermark_ms = 0)
COMMENT 'Lifetime value by the first creator that a member came to, refunds counted when they happened. Grain: first creator and age in weeks, 0 to 12. Units: money in minor units of reporting_currency, cumulative; ltv in major units per member. Maturity: column mature; immature cells are NULL.';

-- What a drop earned and cost, line by line, so that further costs are further lines and a margin is their sum. Costs come in
-- nano-units of the budget's currency and are rounded once, half-even, to its minor unit; their rate is that of the drop's first day.
CREATE VIEW IF NOT EXISTS drop_lines AS
WITH
    (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency') AS reporting,
    (SELECT max(exponent) FROM currencies WHERE code = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS digits
SELECT
    toString(p.drop_id) AS drop_id,
    multiIf(p.type = 'completed', 'gross', p.type = 'refunded', 'refunds', 'chargebacks') AS line,
    toString(p.currency) AS currency,
    count() AS records,
    sum(p.amount) AS amount,
    if(countIf(p.amount_reporting IS NULL) = count(), NULL, sum(p.amount_reporting)) AS amount_reporting,
    reporting AS reporting_currency,
    countIf(p.amount_reporting IS NULL) AS unconverted
FROM purchases AS p FINAL
WHERE p.drop_id != ''
GROUP BY p.drop_id, line, p.currency
UNION ALL
SELECT
    c.drop_id,
    c.line,
    c.currency,
    c.records,
    toInt64(own_quotient + multiIf(2 * abs(own_rest) > own_denominator, sign(nano), 2 * abs(own_rest) = own_denominator AND own_quotient % 2 != 0, sign(nano), 0)) AS amount,
    if(rate > 0, toInt64(quotient + multiIf(2 * abs(rest) > denominator, sign(nano), 2 * abs(rest) = denominator AND quotient % 2 != 0, sign(nano), 0)), NULL) AS amount_reporting,
    reporting AS reporting_currency,
    if(rate > 0, 0, c.records) AS unconverted
FROM
(
    SELECT
        n.drop_id AS drop_id, n.line AS line, n.currency AS currency, n.records AS records, toInt256(n.nano) AS nano,
        if(n.currency = reporting, toDecimal128(1, 18), r.rate) AS rate,
        toInt256(exp10(own.exponent)) * nano AS own_numerator,
        toInt256(1000000000) AS own_denominator,
        intDiv(own_numerator, own_denominator) AS own_quotient,
        own_numerator - own_quotient * own_denominator AS own_rest,
        toInt256(toDecimal256(rate, 18) * 1000000000000000000) * toInt256(exp10(digits)) * nano AS numerator,
        toInt256(1000000000) * toInt256(1000000000000000000) AS denominator,
        intDiv(numerator, denominator) AS quotient,
        numerator - quotient * denominator AS rest
    FROM
    (
        SELECT toString(d.drop_id) AS drop_id, 'localization' AS line, toString(d.budget_currency) AS currency, toDate(d.starts) AS day,
               s.cues AS records, -toInt128(s.cues) * d.cue_cost AS nano
        FROM drops AS d FINAL
        INNER JOIN
        (
            SELECT drop_id, uniqExact(id) AS cues
            FROM subtitle_events
            WHERE NOT missing AND NOT synthetic AND NOT quarantined AND target_language != source_language
            GROUP BY drop_id
        ) AS s ON s.drop_id = d.drop_id
        WHERE d.cue_cost > 0
        UNION ALL
        -- Probes and warm-up requests are billed like the others. What no price list covers is not here, and edge_cost says so.
        SELECT e.drop_id, 'edge' AS line, e.currency, toDate(d.starts) AS day, e.records, -e.paid AS nano
        FROM
        (
            SELECT toString(drop_id) AS drop_id, toString(currency) AS currency, sum(samples) AS records, sum(toInt128(assumeNotNull(cost))) AS paid
            FROM edge_cost_latest
            WHERE drop_id != '' AND cost IS NOT NULL
            GROUP BY drop_id, currency
        ) AS e
        INNER JOIN (SELECT toString(drop_id) AS drop_id, starts FROM drops FINAL) AS d ON d.drop_id = e.drop_id
        UNION ALL
        -- What the ledger credits to others: negative, as a cost is. A dispute fee stands on the debit side.
        SELECT p.drop_id, p.line, p.currency, toDate(d.starts) AS day, p.records, toInt128(p.amount) * toInt128(exp10(9 - c.exponent)) AS nano
        FROM
        (
            SELECT toString(l.drop_id) AS drop_id, if(l.account = 'payable', 'creator shares', 'tax and fees') AS line, toString(l.currency) AS currency,
                   count() AS records, sum(if(l.account = 'dispute_fee', -l.amount, l.amount)) AS amount
            FROM ledger_postings AS l
            WHERE l.drop_id != '' AND l.type IN ('completed', 'refunded', 'chargeback') AND l.account IN ('payable', 'tax_payable', 'psp_fee', 'dispute_fee')
            GROUP BY drop_id, line, currency
        ) AS p
        INNER JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS c ON c.code = p.currency
        INNER JOIN (SELECT toString(drop_id) AS drop_id, starts FROM drops FINAL) AS d ON d.drop_id = p.drop_id
    ) AS n
    INNER JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS own ON own.code = n.currency
    ASOF LEFT JOIN (SELECT toString(base) AS base, date, rate FROM fx_rates FINAL WHERE quote = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS r
    ON r.base = n.currency AND n.day >= r.date
) AS c
COMMENT 'What a drop earned and cost. Grain: drop, line and currency. Units: amount in minor units of currency, amount_reporting in minor units of reporting_currency, costs and refunds negative; records behind it; unconverted have no rate. Maturity: as of now: refunds and chargebacks may still come.';

CREATE VIEW IF NOT EXISTS drop_roi AS
SELECT
    l.drop_id AS drop_id,
    any(d.creator_id) AS creator_id,
    any(d.name) AS name,
    l.currency AS currency,
    sumIf(l.records, l.line = 'gross') AS checkouts,
    sumIf(l.amount, l.line = 'gross') AS gross,
    sumIf(l.amount, l.line = 'refunds') AS refunds,
    sumIf(l.amount, l.line = 'chargebacks') AS chargebacks,
    gross + refunds + chargebacks AS net_revenue,
    sumOrNullIf(l.amount, l.line = 'creator shares') AS creator_shares,
    sumOrNullIf(l.amount, l.line = 'tax and fees') AS tax_and_fees,
    sumOrNullIf(l.amount, l.line = 'edge') AS edge_cost,
    sumOrNullIf(l.amount, l.line = 'localization') AS localization_cost,
    sum(l.amount) AS margin,
    sum(l.amount_reporting) AS margin_reporting,
    any(l.reporting_currency) AS reporting_currency,
    sum(l.unconverted) AS unconverted,
    any(d.ends) AS ends
FROM drop_lines AS l
LEFT JOIN (SELECT toString(drop_id) AS drop_id, toString(creator_id) AS creator_id, name, ends FROM drops FINAL) AS d ON d.drop_id = l.drop_id
GROUP BY l.drop_id, l.currency
COMMENT 'Return of a drop: revenue net of refunds and chargebacks, less every cost that has a line in drop_lines. Grain: drop and currency. Units: minor units of currency, margin_reporting of reporting_currency; refunds, chargebacks and costs are negative, a cost nobody has recorded is NULL and not in the margin. Maturity: as of now: refunds and chargebacks may still come.';

CREATE VIEW IF NOT EXISTS buyers AS
SELECT
    player_id,
    min(effective_time) AS first_purchase,
    argMin(toString(drop_id), (effective_time, drop_id)) AS first_drop,
    argMin(toString(creator_id), (effective_time, creator_id)) AS first_creator,
    uniqExact(toDate(effective_time)) AS purchase_days,
    arrayFirstOrNull(at -> toDate(at) != toDate(first_purchase), arraySort(groupArray(effective_time))) AS second_purchase,
    count() AS checkouts
FROM purchases FINAL
WHERE type = 'completed'
GROUP BY player_id
COMMENT 'Who bought, first and again. Grain: player with a completed checkout. Units: times in UTC; purchase_days are UTC days, so that purchases of one day are one; second_purchase is the first one on a later day, NULL without. Maturity: moves as purchases arrive.';

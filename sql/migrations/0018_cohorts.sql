-- Cohort read-outs for screens. A curve needs every member and every session, which takes seconds over a million members, so
-- that screens read a copy that is made anew every half hour. Copies append: the embedded engine cannot exchange tables.

CREATE VIEW IF NOT EXISTS retention AS
WITH
    1.959963984540054 AS z,
    (SELECT if({watermark_ms:Int64} > 0, fromUnixTimestamp64Milli({watermark_ms:Int64}, 'UTC'), stored)
     FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks)) AS now_watermark,
    people AS
    (
        SELECT
            player_id,
            multiIf({cohort:String} = 'drop', first_drop, {cohort:String} = 'creator', first_creator, formatDateTime(first_activity, '%G-W%V')) AS cohort,
            multiIf({cohort:String} = 'drop', first_drop_time, {cohort:String} = 'creator', first_creator_time, first_activity) AS acquired
        FROM members
        WHERE cohort != ''
    ),
    returns AS
    (
        SELECT p.cohort AS cohort, intDiv(toUnixTimestamp64Milli(e.at) - toUnixTimestamp64Milli(p.acquired), 86400000) AS day, uniqExact(p.player_id) AS returned
        FROM people AS p
        INNER JOIN
        (
            SELECT player_id, started AS at FROM player_sessions
        ) AS e ON e.player_id = p.player_id
        WHERE e.at >= p.acquired
        GROUP BY cohort, day
    )
SELECT
    c.cohort AS cohort,
    c.cohort_start AS cohort_start,
    c.n AS n,
    c.day AS day,
    now_watermark >= c.cohort_end + toIntervalDay(c.day + 1) AS mature,
    if(mature, r.returned, NULL) AS returned,
    returned / n AS rate,
    if(rate IS NULL, NULL, greatest(0, (rate + z * z / (2 * n)) / (1 + z * z / n) - z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))) AS rate_low,
    if(rate IS NULL, NULL, least(1, (rate + z * z / (2 * n)) / (1 + z * z / n) + z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))) AS rate_high,
    now_watermark AS watermark
FROM
(
    SELECT
        p.cohort AS cohort,
        count() AS n,
        if({cohort:String} = 'week', toDateTime64(toStartOfWeek(min(p.acquired), 1), 3, 'UTC'), min(p.acquired)) AS cohort_start,
        if({cohort:String} = 'week', cohort_start + INTERVAL 7 DAY, max(p.acquired) + INTERVAL 1 MILLISECOND) AS cohort_end,
        toInt64(arrayJoin(range(1, toUInt32({max_day:UInt16}) + 1))) AS day
    FROM people AS p
    GROUP BY cohort
) AS c
LEFT JOIN returns AS r ON r.cohort = c.cohort AND r.day = c.day
COMMENT 'Retention curves; the named query retention_curve documents the parameters. Grain: cohort and day of age. Units: n members, returned had a session on that day of age; rate in [0, 1] with its 95 % Wilson interval. Maturity: column mature: watermark >= cohort_end + (day + 1) days; immature cells are NULL.';

CREATE TABLE IF NOT EXISTS ltv_copies
(
    refreshed    DateTime64(3, 'UTC') COMMENT 'when the copy was made, wall clock',
    kind         LowCardinality(String) COMMENT 'sort of cohort: week, drop or creator',
    cohort       String COMMENT 'cohort',
    cohort_start DateTime64(3, 'UTC') COMMENT 'start of the cohort',
    cohort_end   DateTime64(3, 'UTC') COMMENT 'end of the cohort',
    members      UInt64 COMMENT 'all members, payers or not',
    age          UInt16 COMMENT 'weeks since acquisition',
    mature       Bool COMMENT 'watermark >= cohort_end + (age + 1) weeks',
    net          Nullable(Int64) COMMENT 'net revenue up to that age, minor units of reporting_currency; NULL when immature',
    ltv          Nullable(Float64) COMMENT 'net per member, major units',
    reporting_currency LowCardinality(String) COMMENT 'ISO 4217',
    watermark    DateTime64(3, 'UTC') COMMENT 'that of the stored events when the copy was made'
)
ENGINE = ReplacingMergeTree(refreshed)
ORDER BY (kind, cohort, age)
COMMENT 'Copies of ltv_curve for screens: read ltv_copy, never this table. Grain: kind, cohort, age in weeks. Units: minor units of reporting_currency. Maturity: column mature; as of refreshed.';

CREATE MATERIALIZED VIEW IF NOT EXISTS ltv_copying REFRESH EVERY 30 MINUTE APPEND TO ltv_copies EMPTY AS
SELECT now64(3, 'UTC') AS refreshed, kind, cohort, cohort_start, cohort_end, members, toUInt16(age) AS age, toBool(mature) AS mature, net, ltv, reporting_currency, watermark
FROM
(
    SELECT 'week' AS kind, v.* FROM ltv_curve(cohort = 'week', dating = 'refund', age = 'member', period_ms = 604800000, max_age = 12, watermark_ms = 0) AS v
UNION ALL
    SELECT 'drop' AS kind, v.* FROM ltv_curve(cohort = 'drop', dating = 'refund', age = 'member', period_ms = 604800000, max_age = 12, watermark_ms = 0) AS v
UNION ALL
    SELECT 'creator' AS kind, v.* FROM ltv_curve(cohort = 'creator', dating = 'refund', age = 'member', period_ms = 604800000, max_age = 12, watermark_ms = 0) AS v
)
COMMENT 'Fills ltv_copies every half hour. Grain: kind, cohort, age. Units: as in ltv_curve. Maturity: as in ltv_curve.';

CREATE VIEW IF NOT EXISTS ltv_copy AS
SELECT * FROM ltv_copies WHERE refreshed = (SELECT max(refreshed) FROM ltv_copies)
COMMENT 'Newest copy of ltv_curve, refund-dated, by member age in weeks from 0 to 12. Grain: kind, cohort, age. Units: net in minor units of reporting_currency, cumulative; ltv in major units per member. Maturity: column mature; as of refreshed.';

CREATE TABLE IF NOT EXISTS retention_copies
(
    refreshed    DateTime64(3, 'UTC') COMMENT 'when the copy was made, wall clock',
    kind         LowCardinality(String) COMMENT 'sort of cohort: week, drop or creator',
    cohort       String COMMENT 'cohort',
    cohort_start DateTime64(3, 'UTC') COMMENT 'start of the cohort',
    n            UInt64 COMMENT 'all members',
    day          UInt16 COMMENT 'day of age',
    mature       Bool COMMENT 'watermark >= cohort_end + (day + 1) days',
    returned     Nullable(UInt64) COMMENT 'members with a session on that day of age; NULL when immature',
    rate         Nullable(Float64) COMMENT 'returned over n',
    rate_low     Nullable(Float64) COMMENT 'lower end of the 95 % Wilson interval',
    rate_high    Nullable(Float64) COMMENT 'upper end of it',
    watermark    DateTime64(3, 'UTC') COMMENT 'that of the stored events when the copy was made'
)
ENGINE = ReplacingMergeTree(refreshed)
ORDER BY (kind, cohort, day)
COMMENT 'Copies of retention for screens: read retention_copy, never this table. Grain: kind, cohort, day of age. Units: members; rates in [0, 1]. Maturity: column mature; as of refreshed.';

CREATE MATERIALIZED VIEW IF NOT EXISTS retention_copying REFRESH EVERY 30 MINUTE APPEND TO retention_copies EMPTY AS
SELECT now64(3, 'UTC') AS refreshed, kind, cohort, cohort_start, n, toUInt16(day) AS day, toBool(mature) AS mature, returned, rate, rate_low, rate_high, watermark
FROM
(
    SELECT 'week' AS kind, v.* FROM retention(cohort = 'week', max_day = 28, watermark_ms = 0) AS v
UNION ALL
    SELECT 'drop' AS kind, v.* FROM retention(cohort = 'drop', max_day = 28, watermark_ms = 0) AS v
UNION ALL
    SELECT 'creator' AS kind, v.* FROM retention(cohort = 'creator', max_day = 28, watermark_ms = 0) AS v
)
COMMENT 'Fills retention_copies every half hour. Grain: kind, cohort, day. Units: as in retention. Maturity: as in retention.';

CREATE VIEW IF NOT EXISTS retention_copy AS
SELECT * FROM retention_copies WHERE refreshed = (SELECT max(refreshed) FROM retention_copies)
COMMENT 'Newest copy of retention, days of age 1 to 28. Grain: kind, cohort, day. Units: members; rates in [0, 1] with 95 % Wilson intervals. Maturity: column mature; as of refreshed.';

CREATE VIEW IF NOT EXISTS ltv_spread AS
WITH
    (SELECT if({watermark_ms:Int64} > 0, fromUnixTimestamp64Milli({watermark_ms:Int64}, 'UTC'), stored)
     FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks)) AS now_watermark,
    (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency') AS reporting,
    (SELECT exp10(max(exponent)) FROM currencies WHERE code = (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency')) AS unit
SELECT
    formatDateTime(week, '%G-W%V') AS cohort,
    count() AS members,
    countIf(net > 0) AS payers,
    avg(net) / unit AS mean,
    quantileExact(0.5)(net) / unit AS median,
    arrayAvg(arrayMap(v -> least(v, quantileExact(0.99)(net)), groupArray(net))) / unit AS winsorised_mean,
    if(sum(net) > 0, arraySum(arraySlice(arrayReverseSort(groupArray(net)), 1, toInt64(ceil(count() / 100)))) / sum(net), NULL) AS top_share,
    reporting AS reporting_currency
FROM
(
    SELECT
        m.player_id AS player_id,
        toStartOfWeek(any(m.acquired), 1) AS week,
        sumIf(ifNull(p.amount_reporting, 0),
              p.original_time >= m.acquired
              AND intDiv(toUnixTimestamp64Milli(p.effective_time) - toUnixTimestamp64Milli(m.acquired), {period_ms:Int64}) <= {age:UInt16}) AS net
    FROM (SELECT player_id, first_activity AS acquired FROM members) AS m
    LEFT JOIN (SELECT player_id, effective_time, original_time, amount_reporting FROM purchases FINAL) AS p ON p.player_id = m.player_id
    GROUP BY player_id
)
WHERE now_watermark >= addMilliseconds(toDateTime64(week, 3, 'UTC') + INTERVAL 7 DAY, (toInt64({age:UInt16}) + 1) * {period_ms:Int64})
GROUP BY week
COMMENT 'How unevenly lifetime value is spread; the named query ltv_distribution documents the parameters. Grain: acquisition ISO week (UTC). Units: mean, median and winsorised_mean in major units of reporting_currency per member; top_share of net revenue from the top 1 % of members. Maturity: mature cohorts only.';

CREATE TABLE IF NOT EXISTS ltv_spread_copies
(
    refreshed DateTime64(3, 'UTC') COMMENT 'when the copy was made, wall clock',
    cohort    String COMMENT 'acquisition ISO week (UTC)',
    members   UInt64 COMMENT 'all members, payers or not',
    payers    UInt64 COMMENT 'members with a positive net',
    mean      Float64 COMMENT 'net revenue of a member\'s first week, major units',
    median    Float64 COMMENT 'of the same',
    winsorised_mean Float64 COMMENT 'mean with the top 1 % of members at the 99th percentile',
    top_share Nullable(Float64) COMMENT 'share of net revenue from the top 1 % of members',
    reporting_currency LowCardinality(String) COMMENT 'ISO 4217'
)
ENGINE = ReplacingMergeTree(refreshed)
ORDER BY cohort
COMMENT 'Copies of ltv_spread at age 0 for screens. Grain: acquisition week. Units: major units of reporting_currency per member. Maturity: mature weeks only; as of refreshed, read the newest.';

CREATE MATERIALIZED VIEW IF NOT EXISTS ltv_spread_copying REFRESH EVERY 30 MINUTE APPEND TO ltv_spread_copies EMPTY AS
SELECT now64(3, 'UTC') AS refreshed, * FROM ltv_spread(age = 0, period_ms = 604800000, watermark_ms = 0)
COMMENT 'Fills ltv_spread_copies every half hour. Grain: acquisition week. Units: as in ltv_spread. Maturity: as in ltv_spread.';

CREATE TABLE IF NOT EXISTS drop_roi_copies
(
    refreshed   DateTime64(3, 'UTC') COMMENT 'when the copy was made, wall clock',
    drop_id     String COMMENT 'drop',
    creator_id  String COMMENT 'its creator',
    name        String COMMENT 'its name',
    currency    String COMMENT 'ISO 4217',
    checkouts   UInt64 COMMENT 'completed checkouts',
    gross       Int64 COMMENT 'minor units of currency',
    refunds     Int64 COMMENT 'minor units of currency, negative',
    chargebacks Int64 COMMENT 'minor units of currency, negative',
    net_revenue Int64 COMMENT 'minor units of currency',
    creator_shares    Nullable(Int64) COMMENT 'minor units of currency, negative; NULL when nobody has recorded it',
    tax_and_fees      Nullable(Int64) COMMENT 'minor units of currency, negative; NULL when nobody has recorded it',
    edge_cost         Nullable(Int64) COMMENT 'minor units of currency, negative; NULL when nobody has recorded it',
    localization_cost Nullable(Int64) COMMENT 'minor units of currency, negative; NULL when nobody has recorded it',
    margin      Int64 COMMENT 'sum of what is recorded, minor units of currency',
    ends        DateTime64(3, 'UTC') COMMENT 'end of the drop',
    maturity    LowCardinality(String) COMMENT 'provisional until the drop has ended by the stored watermark'
)
ENGINE = ReplacingMergeTree(refreshed)
ORDER BY (drop_id, currency)
COMMENT 'Copies of drop_roi for screens. Grain: drop and currency. Units: minor units of currency; costs are negative. Maturity: column maturity; as of refreshed, read the newest. Refunds and chargebacks may still come.';

CREATE MATERIALIZED VIEW IF NOT EXISTS drop_roi_copying REFRESH EVERY 5 MINUTE APPEND TO drop_roi_copies EMPTY AS
SELECT
    now64(3, 'UTC') AS refreshed, drop_id, creator_id, name, currency, checkouts, gross, refunds, chargebacks, net_revenue,
    creator_shares, tax_and_fees, edge_cost, localization_cost, margin, ends,
    if(ends > toDateTime64(0, 3, 'UTC') AND (SELECT minIf(watermark, NOT idle) FROM watermarks) >= ends, 'final', 'provisional') AS maturity
FROM drop_roi
COMMENT 'Fills drop_roi_copies every five minutes. Grain: drop and currency. Units: as in drop_roi. Maturity: as in drop_roi.';

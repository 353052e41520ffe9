-- purpose: Audience and revenue of every creator around a drop and the drops before it: the panels behind creator uplift, each drop with its clean controls (DOMAIN 4.2).
-- grain: One row per drop and creator: the drop's own (treated) and all others.
-- units: active_*: players with a session of the creator outside drops, mean per week. revenue_* and halo_*: net of refunds and chargebacks in minor units of reporting_currency per week; halo leaves the drop's own revenue out. before is the 28 days up to the announcement, early and late its halves, first is [start, +7 d), later [+7 d, +28 d). followers: distinct active ones in before. clean_first and clean_later: no other drop of the creator, 28 days after its start included, touches the windows. covered: events are stored from the start of before on.
-- maturity: first_* are mature when watermark >= start + 7 d + lateness_ms, later_* at start + 28 d + lateness_ms; NULL until then.
-- param drop String: drop id.
-- param back_days UInt16 = 90: drops that started this many days before it are compared too.
-- param lateness_ms Int64 = 600000: allowed lateness.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
WITH
    toInt64(86400000) AS day,
    (SELECT if({watermark_ms:Int64} > 0, {watermark_ms:Int64}, toUnixTimestamp64Milli(stored)) FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks)) AS reached,
    (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency') AS reporting,
    (SELECT toUnixTimestamp64Milli(min(started)) FROM player_sessions) AS stored_from,
    all_drops AS
    (
        SELECT toString(drop_id) AS drop_id, toString(creator_id) AS creator_id, toUnixTimestamp64Milli(starts) AS start,
               if(toUnixTimestamp64Milli(announced) = 0, start, least(start, toUnixTimestamp64Milli(announced))) AS announced_ms
        FROM drops FINAL
    ),
    (SELECT max(start) FROM all_drops WHERE drop_id = {drop:String}) AS subject_start,
    compared AS
    (
        SELECT drop_id, creator_id, start, announced_ms - 28 * day AS since, announced_ms FROM all_drops
        WHERE drop_id = {drop:String} OR (start < subject_start AND start >= subject_start - {back_days:UInt16} * day)
    ),
    activity AS
    (
        SELECT
            d.drop_id AS drop_id,
            s.creator_id AS creator_id,
            uniqExactIf(s.player_id, s.at < d.announced_ms) AS followers,
            [uniqExactIf(s.player_id, s.at < d.since + 7 * day), uniqExactIf(s.player_id, s.at >= d.since + 7 * day AND s.at < d.since + 14 * day),
             uniqExactIf(s.player_id, s.at >= d.since + 14 * day AND s.at < d.since + 21 * day), uniqExactIf(s.player_id, s.at >= d.since + 21 * day AND s.at < d.announced_ms)] AS pre,
            [uniqExactIf(s.player_id, s.at >= d.start AND s.at < d.start + 7 * day), uniqExactIf(s.player_id, s.at >= d.start + 7 * day AND s.at < d.start + 14 * day),
             uniqExactIf(s.player_id, s.at >= d.start + 14 * day AND s.at < d.start + 21 * day), uniqExactIf(s.player_id, s.at >= d.start + 21 * day)] AS post
        FROM
        (
            SELECT player_id, toString(creator_id) AS creator_id, toUnixTimestamp64Milli(started) AS at
            FROM player_sessions WHERE drop_id = '' AND creator_id != ''
        ) AS s
        CROSS JOIN compared AS d
        WHERE s.at >= d.since AND s.at < d.start + 28 * day
        GROUP BY drop_id, creator_id
    ),
    money AS
    (
        SELECT
            d.drop_id AS drop_id,
            p.creator_id AS creator_id,
            sumIf(p.amount, p.at < d.since + 14 * day) AS early,
            sumIf(p.amount, p.at >= d.since + 14 * day AND p.at < d.announced_ms) AS late,
            sumIf(p.amount, p.at >= d.start AND p.at < d.start + 7 * day) AS first,
            sumIf(p.amount, p.at >= d.start + 7 * day) AS later,
            sumIf(p.amount, p.at >= d.start AND p.at < d.start + 7 * day AND p.drop_id != d.drop_id) AS halo_first,
            sumIf(p.amount, p.at >= d.start + 7 * day AND p.drop_id != d.drop_id) AS halo_later
        FROM
        (
            SELECT toString(creator_id) AS creator_id, toString(drop_id) AS drop_id, toUnixTimestamp64Milli(effective_time) AS at, ifNull(amount_reporting, 0) AS amount
            FROM purchases FINAL WHERE creator_id != ''
        ) AS p
        CROSS JOIN compared AS d
        WHERE p.at >= d.since AND p.at < d.start + 28 * day
        GROUP BY drop_id, creator_id
    ),
    others AS
    (
        -- Drops of each creator that spoil a window of each compared drop.
        SELECT d.drop_id AS drop_id, o.creator_id AS creator_id, max(o.announced_ms < d.start + 7 * day) AS spoils_first, max(o.announced_ms < d.start + 28 * day) AS spoils_later
        FROM compared AS d
        CROSS JOIN all_drops AS o
        WHERE o.drop_id != d.drop_id AND o.start + 28 * day > d.since
        GROUP BY drop_id, creator_id
    )
SELECT
    d.drop_id AS drop_id,
    a.creator_id AS creator_id,
    a.creator_id = d.creator_id AS treated,
    d.drop_id = {drop:String} AS subject,
    NOT ifNull(o.spoils_first, 0) AS clean_first,
    NOT ifNull(o.spoils_later, 0) AS clean_later,
    stored_from <= d.since + day AS covered,
    a.followers AS followers,
    arrayAvg(a.pre) AS active_before,
    arrayAvg(arraySlice(a.pre, 1, 2)) AS active_early,
    arrayAvg(arraySlice(a.pre, 3, 2)) AS active_late,
    if(mature_first, toFloat64(a.post[1]), NULL) AS active_first,
    if(mature_later, arrayAvg(arraySlice(a.post, 2, 3)), NULL) AS active_later,
    (m.early + m.late) / 4 AS revenue_before,
    m.early / 2 AS revenue_early,
    m.late / 2 AS revenue_late,
    if(mature_first, toFloat64(m.first), NULL) AS revenue_first,
    if(mature_later, m.later / 3, NULL) AS revenue_later,
    if(mature_first, toFloat64(m.halo_first), NULL) AS halo_first,
    if(mature_later, m.halo_later / 3, NULL) AS halo_later,
    reporting AS reporting_currency,
    reached >= d.start + 7 * day + {lateness_ms:Int64} AS mature_first,
    reached >= d.start + 28 * day + {lateness_ms:Int64} AS mature_later,
    fromUnixTimestamp64Milli(d.start + 7 * day + {lateness_ms:Int64}, 'UTC') AS first_matures_at,
    fromUnixTimestamp64Milli(d.start + 28 * day + {lateness_ms:Int64}, 'UTC') AS later_matures_at
FROM compared AS d
INNER JOIN activity AS a ON a.drop_id = d.drop_id
LEFT JOIN money AS m ON m.drop_id = a.drop_id AND m.creator_id = a.creator_id
LEFT JOIN others AS o ON o.drop_id = a.drop_id AND o.creator_id = a.creator_id
ORDER BY d.start, drop_id, treated DESC, creator_id

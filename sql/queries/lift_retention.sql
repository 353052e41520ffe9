-- purpose: Who came back after a drop, purchasers and other visitors, by what they did before: the counts behind evidence grades C, D and E of retention (DOMAIN 4).
-- grain: One row per group (purchaser or not) and stratum: coarsened sessions before, follower or not, tenure.
-- units: Players. index is the first purchase before the drop's end; for other visitors their landing plus the delay of a purchaser drawn by a hash of the player (no immortal time). after: a session in [index + 1 d, index + days), for one day [+1 d, +2 d); before: in a window as long that ends a day before index; earlier: in one before that. panel counts players known before before, trend players known before earlier. Players held out of the offer, and buyers after the end, are left out.
-- maturity: Mature when watermark >= drop's end + days + lateness_ms; until then every count but n is NULL.
-- param drop String: drop id.
-- param days UInt16 = 7: return horizon in days.
-- param lateness_ms Int64 = 600000: allowed lateness.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
WITH
    86400000 AS day,
    day * greatest(toInt64({days:UInt16}), 2) AS span,
    (SELECT if({watermark_ms:Int64} > 0, {watermark_ms:Int64}, toUnixTimestamp64Milli(stored)) FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks)) AS reached,
    (SELECT (toString(any(creator_id)), toUnixTimestamp64Milli(any(ends))) FROM drops FINAL WHERE drop_id = {drop:String}) AS entry,
    entry.2 + span + {lateness_ms:Int64} AS matures_ms,
    reached >= matures_ms AS mature,
    visits AS
    (
        SELECT player_id, ifNull(toUnixTimestamp64Milli(min(p.landing)), 0) AS landed, ifNull(toUnixTimestamp64Milli(min(p.completed)), 0) AS bought
        FROM player_drops AS p
        WHERE drop_id = {drop:String}
        GROUP BY player_id
    ),
    held AS
    (
        SELECT f.player_id AS player_id
        FROM (SELECT experiment_id, player_id, min(e.first).2 AS variant FROM first_exposures AS e WHERE drop_id = {drop:String} GROUP BY experiment_id, player_id) AS f
        INNER JOIN (SELECT x, h FROM drops FINAL ARRAY JOIN experiment_id AS x, experiment_holdout AS h WHERE drop_id = {drop:String}) AS c ON c.x = f.experiment_id
        WHERE f.variant = c.h
    ),
    (SELECT arraySort(groupArray(bought - landed)) FROM visits WHERE landed > 0 AND bought >= landed AND bought < entry.2) AS delays,
    units AS
    (
        SELECT player_id, bought > 0 AS purchaser,
               if(purchaser, bought, landed + if(empty(delays), 0, delays[1 + xxHash64(player_id) % greatest(length(delays), 1)])) AS index
        FROM visits
        WHERE if(bought > 0, bought < entry.2, landed > 0 AND landed < entry.2) AND player_id NOT IN (SELECT player_id FROM held)
    ),
    acted AS
    (
        SELECT
            u.player_id AS player_id,
            any(u.purchaser) AS purchaser,
            any(u.index) AS index,
            countIf(s.at >= u.index + day AND s.at < u.index + span) > 0 AS after,
            countIf(s.at >= u.index - span AND s.at < u.index - day) > 0 AS before,
            countIf(s.at >= u.index - 2 * span + day AND s.at < u.index - span) > 0 AS earlier,
            countIf(s.at >= u.index - 28 * day AND s.at < u.index - day) AS sessions,
            countIf(s.at >= u.index - 28 * day AND s.at < u.index - day AND s.drop_id = '' AND s.creator_id = entry.1) > 0 AS follower
        FROM units AS u
        LEFT JOIN (SELECT player_id, toUnixTimestamp64Milli(started) AS at, drop_id, creator_id FROM player_sessions FINAL) AS s ON s.player_id = u.player_id
        GROUP BY u.player_id
    ),
    known AS
    (
        SELECT player_id, toUnixTimestamp64Milli(min(m.first)) AS since
        FROM member_activity AS m
        WHERE player_id IN (SELECT player_id FROM units)
        GROUP BY player_id
    )
SELECT
    a.purchaser AS purchaser,
    multiIf(a.sessions <= 3, toString(a.sessions), a.sessions <= 5, '4-5', a.sessions <= 8, '6-8', '9+') AS sessions_before,
    a.follower AS follower,
    multiIf(k.since >= a.index - day, 'new', k.since >= a.index - 7 * day, 'under a week', 'older') AS tenure,
    count() AS n,
    if(mature, countIf(a.after), NULL) AS returned,
    if(mature, countIf(a.before), NULL) AS before,
    if(mature, countIf(k.since < a.index - span), NULL) AS panel_n,
    if(mature, countIf(k.since < a.index - span AND a.before), NULL) AS panel_before,
    if(mature, countIf(k.since < a.index - span AND a.after), NULL) AS panel_after,
    if(mature, countIf(k.since < a.index - span AND a.before AND a.after), NULL) AS panel_both,
    if(mature, countIf(k.since < a.index - 2 * span + day), NULL) AS trend_n,
    if(mature, countIf(k.since < a.index - 2 * span + day AND a.earlier), NULL) AS trend_earlier,
    if(mature, countIf(k.since < a.index - 2 * span + day AND a.before), NULL) AS trend_before,
    if(mature, countIf(k.since < a.index - 2 * span + day AND a.earlier AND a.before), NULL) AS trend_both,
    mature,
    fromUnixTimestamp64Milli(matures_ms, 'UTC') AS matures_at
FROM acted AS a
INNER JOIN known AS k ON k.player_id = a.player_id
GROUP BY purchaser, sessions_before, follower, tenure
ORDER BY purchaser, sessions_before, follower, tenure

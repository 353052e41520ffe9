-- purpose: Return of visitors who were offered a drop's goods and of those held out at random: the counts behind evidence grades A and B of retention (DOMAIN 4).
-- grain: One row per variant of each experiment of the drop that has a holdout, seen or not.
-- units: Players, by their first exposure before the drop's end, which is their index. after: a session in [index + 1 d, index + days), for one day [+1 d, +2 d). bought: a completed checkout of the drop before its end. The sums are of x = sessions in [index - 28 d, index - 1 d), of y = after, and of their products, for CUPED. bps: planned share.
-- maturity: Mature when watermark >= drop's end + days + lateness_ms; until then every count but n is NULL.
-- param drop String: drop id.
-- param days UInt16 = 7: return horizon in days.
-- param lateness_ms Int64 = 600000: allowed lateness.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
WITH
    86400000 AS day,
    day * greatest(toInt64({days:UInt16}), 2) AS span,
    (SELECT if({watermark_ms:Int64} > 0, {watermark_ms:Int64}, toUnixTimestamp64Milli(stored)) FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks)) AS reached,
    (SELECT toUnixTimestamp64Milli(any(ends)) FROM drops FINAL WHERE drop_id = {drop:String}) AS ends_ms,
    ends_ms + span + {lateness_ms:Int64} AS matures_ms,
    reached >= matures_ms AS mature,
    arms AS
    (
        SELECT experiment, holdout, arm.1 AS variant, arm.2 AS bps
        FROM
        (
            SELECT x AS experiment, h AS holdout, arrayJoin(arrayZip(v, b)) AS arm
            FROM drops FINAL
            ARRAY JOIN experiment_id AS x, experiment_holdout AS h, experiment_variant AS v, experiment_variant_bps AS b
            WHERE drop_id = {drop:String} AND h != ''
        )
    ),
    units AS
    (
        SELECT experiment_id AS experiment, player_id, toUnixTimestamp64Milli(min(e.first).1) AS index, min(e.first).2 AS variant
        FROM first_exposures AS e
        WHERE drop_id = {drop:String} AND experiment_id IN (SELECT experiment FROM arms)
        GROUP BY experiment_id, player_id
        HAVING index < ends_ms
    ),
    acted AS
    (
        SELECT
            u.experiment AS experiment,
            u.player_id AS player_id,
            any(u.variant) AS variant,
            countIf(s.at >= u.index + day AND s.at < u.index + span) > 0 AS after,
            countIf(s.at >= u.index - 28 * day AND s.at < u.index - day) AS x
        FROM units AS u
        LEFT JOIN (SELECT player_id, toUnixTimestamp64Milli(started) AS at FROM player_sessions FINAL) AS s ON s.player_id = u.player_id
        GROUP BY u.experiment, u.player_id
    ),
    buyers AS
    (
        SELECT player_id FROM player_drops AS p
        WHERE drop_id = {drop:String}
        GROUP BY player_id
        HAVING ifNull(toUnixTimestamp64Milli(min(p.completed)) < ends_ms, false)
    ),
    counts AS
    (
        SELECT
            experiment, variant, count() AS n, countIf(after) AS returned,
            countIf(player_id IN (SELECT player_id FROM buyers)) AS bought,
            countIf(after AND player_id IN (SELECT player_id FROM buyers)) AS both,
            sum(x) AS sum_x, sum(x * x) AS sum_x2, sumIf(x, after) AS sum_xy
        FROM acted
        GROUP BY experiment, variant
    )
SELECT
    a.experiment AS experiment,
    a.variant AS variant,
    a.variant = a.holdout AS held,
    a.bps AS bps,
    c.n AS n,
    if(mature, c.returned, NULL) AS returned,
    if(mature, c.bought, NULL) AS bought,
    if(mature, c.both, NULL) AS both,
    if(mature, c.sum_x, NULL) AS sum_x,
    if(mature, c.sum_x2, NULL) AS sum_x2,
    if(mature, c.sum_xy, NULL) AS sum_xy,
    mature,
    fromUnixTimestamp64Milli(matures_ms, 'UTC') AS matures_at
FROM arms AS a
LEFT JOIN counts AS c ON c.experiment = a.experiment AND c.variant = a.variant
ORDER BY experiment, held DESC, variant

-- topic: cohorts
-- purpose: What each buyer did since the first purchase, in time: the histories that BG/NBD and Gamma-Gamma are fitted on (DOMAIN 3.2 and 3.3).
-- grain: One row per player with a purchase before as_of, in one currency, of one creator or any.
-- units: x repeat purchases, those of one UTC day as one and the first day left out; t_x weeks from the first to the last of them, 0 without; T weeks from the first to the last day before as_of; m mean net spend per repeat day in minor units, NULL without; later is days with a purchase in [as_of, until) on which none is counted before.
-- maturity: As known at as_of: refunds and chargebacks until then are taken off, and a checkout that was given back whole is none. later is as known at until.
-- param currency String: ISO 4217; each currency has its own histories.
-- param creator String = : only purchases of this creator's drops; empty for all.
-- param as_of_ms Int64 = 0: Unix ms, exclusive; 0 takes the watermark of the stored events.
-- param until_ms Int64 = 0: end of the hold-out window in Unix ms, exclusive; 0 for none.
WITH
    assumeNotNull((SELECT if({as_of_ms:Int64} > 0, fromUnixTimestamp64Milli({as_of_ms:Int64}, 'UTC'), stored)
                   FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks))) AS as_of,
    greatest(as_of, fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC')) AS until,
    checkouts AS
    (
        SELECT
            player_id,
            checkout_id,
            minIf(effective_time, type = 'completed') AS at,
            at < as_of AS before,
            if(before, sumIf(amount, effective_time < as_of), sum(amount)) AS net,
            if(before, countIf(type != 'completed' AND effective_time < as_of), countIf(type != 'completed')) AS returns
        FROM purchases FINAL
        WHERE currency = {currency:String} AND ({creator:String} = '' OR creator_id = {creator:String}) AND effective_time < until
        GROUP BY player_id, checkout_id
        HAVING countIf(type = 'completed') > 0 AND (returns = 0 OR net > 0)
    )
SELECT
    player_id,
    toInt64(countIf(counted)) - 1 AS x,
    dateDiff('day', minIf(day, counted), maxIf(day, counted)) / 7 AS t_x,
    dateDiff('day', minIf(day, counted), toDate(as_of - INTERVAL 1 MILLISECOND)) / 7 AS T,
    if(x > 0, (sumIf(spend, counted) - argMinIf(spend, day, counted)) / x, NULL) AS m,
    toInt64(countIf(NOT counted)) AS later,
    minIf(since, counted) AS first_purchase,
    as_of
FROM
(
    SELECT player_id, toDate(at) AS day, max(before) AS counted, sumIf(net, before) AS spend, min(at) AS since
    FROM checkouts
    GROUP BY player_id, day
)
GROUP BY player_id
HAVING x >= 0
ORDER BY player_id

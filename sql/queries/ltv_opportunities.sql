-- topic: cohorts
-- purpose: What each buyer did with the drops since the first purchase: the histories that BG/BB is fitted on, with eligible drops as opportunities (DOMAIN 3.4).
-- grain: One row per player with a purchase in a drop before as_of, in one currency, of one creator or any.
-- units: n eligible drops that ended by as_of: those that ended after the first purchase, without the drop of it, in the order of their starts; x of them bought from; t_x the number, from 1, of the last of these, 0 without; m mean net spend per such drop in minor units, NULL without; later_n and later are the same counts over drops that ended in (as_of, until].
-- maturity: As known at as_of: refunds and chargebacks until then are taken off, and a checkout that was given back whole is none. later is as known at until.
-- param currency String: ISO 4217; each currency has its own histories.
-- param creator String = : only this creator's drops; empty for all.
-- param as_of_ms Int64 = 0: Unix ms, exclusive; 0 takes the watermark of the stored events.
-- param until_ms Int64 = 0: end of the hold-out window in Unix ms; 0 for none.
WITH
    assumeNotNull((SELECT if({as_of_ms:Int64} > 0, fromUnixTimestamp64Milli({as_of_ms:Int64}, 'UTC'), stored)
                   FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks))) AS as_of,
    greatest(as_of, fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC')) AS until,
    listed AS
    (
        SELECT toString(drop_id) AS id, ends, toUInt32(row_number() OVER (ORDER BY starts, drop_id)) AS number
        FROM drops FINAL
        WHERE {creator:String} = '' OR creator_id = {creator:String}
    ),
    -- Numbers count from 1 without a gap, so that the end of drop i is ended[i].
    (SELECT arrayMap(d -> d.2, arraySort(groupArray((number, ends)))) FROM listed) AS ended,
    checkouts AS
    (
        SELECT
            p.player_id AS player_id,
            p.checkout_id AS checkout_id,
            d.number AS number,
            any(d.ends) <= as_of AS closed,
            minIf(p.effective_time, p.type = 'completed') AS at,
            at < as_of AS before,
            if(closed AND before, sumIf(p.amount, p.effective_time < as_of), sum(p.amount)) AS net,
            if(closed AND before, countIf(p.type != 'completed' AND p.effective_time < as_of), countIf(p.type != 'completed')) AS returns
        FROM (SELECT player_id, checkout_id, toString(drop_id) AS id, type, effective_time, amount FROM purchases FINAL
              WHERE drop_id != '' AND currency = {currency:String} AND effective_time < until) AS p
        INNER JOIN listed AS d ON d.id = p.id
        GROUP BY player_id, checkout_id, number
        HAVING countIf(p.type = 'completed') > 0 AND (returns = 0 OR net > 0)
    ),
    bought AS
    (
        SELECT player_id, number, closed, min(at) AS at, sum(net) AS spend
        FROM checkouts
        WHERE before OR NOT closed
        GROUP BY player_id, number, closed
    )
SELECT
    player_id,
    toInt64(length(repeats)) AS x,
    toInt64(arrayCount((e, i) -> i <= last AND i != first AND e > since AND e <= as_of, ended, arrayEnumerate(ended))) AS t_x,
    toInt64(arrayCount((e, i) -> i != first AND e > since AND e <= as_of, ended, arrayEnumerate(ended))) AS n,
    if(x = 0, NULL, arraySum(repeats.3) / x) AS m,
    toInt64(arrayCount((e, i) -> i != first AND e > since AND e > as_of AND e <= until, ended, arrayEnumerate(ended))) AS later_n,
    toInt64(arrayCount(b -> b.1 != first AND NOT b.2 AND ended[b.1] <= until, bought_from)) AS later,
    since AS first_purchase,
    as_of
FROM
(
    SELECT
        player_id, min(at) AS since, argMin(number, (at, number)) AS first, groupArray((number, closed, spend)) AS bought_from,
        arrayFilter(b -> b.1 != first AND b.2, bought_from) AS repeats,
        arrayMax(arrayPushBack(repeats.1, 0)) AS last
    FROM bought
    GROUP BY player_id
    HAVING since < as_of
)
ORDER BY player_id

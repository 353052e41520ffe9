-- topic: cohorts
-- purpose: Predicted lifetime value beside what was observed, before the prediction and in the window that it is about: calibration by cohort or by x.
-- grain: One row per fit, part and age. A part is a cohort of buyers by the week or month of the first purchase, and age how old its buyers were when the fit was made: whole weeks (bgnbd) or eligible drops (bgbb); or it is x, the repeat purchases before the fit, and age is NULL.
-- units: Sums over buyers: net spend in minor units of currency, before the fit (net_before), predicted (discounted and at a margin if the fit was) and observed; purchases are days with one (bgnbd) or drops bought from (bgbb). alive is the mean probability of still being a customer, of those for whom the model can tell: bgnbd says 1 by construction of a buyer without a repeat.
-- maturity: observed_purchases and observed_value are NULL until mature: the watermark has passed as_of and the horizon, in weeks, or so many eligible drops have ended since. Refunds may still come. A prediction is no guarantee for a single buyer.
-- param model String = bgbb: bgbb or bgnbd.
-- param currency String: ISO 4217.
-- param creator String = : fits for this creator alone; empty for those over all.
-- param by String = week: week (ISO, UTC) or month of the first purchase, or x.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
WITH
    assumeNotNull((SELECT if({watermark_ms:Int64} > 0, fromUnixTimestamp64Milli({watermark_ms:Int64}, 'UTC'), stored)
                   FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks))) AS now_watermark,
    {model:String} = 'bgbb' AS by_drops,
    (SELECT arrayMap(d -> (d.2, d.3), arraySort(groupArray((starts, toString(drop_id), ends))))
     FROM drops FINAL WHERE {creator:String} = '' OR creator_id = {creator:String}) AS listed,
    checkouts AS
    (
        SELECT player_id, minIf(effective_time, type = 'completed') AS at, toString(any(drop_id)) AS drop_id, sum(amount) AS net
        FROM purchases FINAL
        WHERE currency = {currency:String} AND ({creator:String} = '' OR creator_id = {creator:String})
        GROUP BY player_id, checkout_id
        HAVING countIf(type = 'completed') > 0 AND (countIf(type != 'completed') = 0 OR net > 0)
    ),
    outcomes AS
    (
        SELECT
            p.*,
            arrayFilter(b -> b.1 < p.as_of, c.bought) AS before,
            if(empty(before), '', arraySort(before)[1].2) AS first_drop,
            -- The next drops that the buyer could buy from, as many as the horizon says.
            arraySlice(arrayFilter(d -> by_drops AND d.2 > p.as_of AND d.1 != first_drop, listed), 1, toUInt32(p.horizon)) AS coming,
            p.as_of + toIntervalSecond(toInt64(p.horizon * 604800)) AS ends_at,
            arrayFilter(b -> if(by_drops, has(coming.1, b.2), b.1 >= p.as_of AND b.1 < ends_at), c.bought) AS within,
            if(by_drops, length(coming) = p.horizon AND arrayMax(arrayPushBack(coming.2, p.as_of)) <= now_watermark, ends_at <= now_watermark) AS matured,
            if(by_drops, length(arrayDistinct(within.2)),
               length(arrayDistinct(arrayFilter(day -> NOT has(arrayMap(b -> toDate(b.1), before), day), arrayMap(b -> toDate(b.1), within))))) AS bought_within
        FROM lifetimes_latest AS p
        LEFT JOIN (SELECT player_id, groupArray((at, drop_id, net)) AS bought FROM checkouts GROUP BY player_id) AS c ON c.player_id = p.player_id
        WHERE p.model = {model:String} AND p.currency = {currency:String} AND p.creator_id = {creator:String}
    )
SELECT
    o.fit AS fit,
    multiIf({by:String} = 'x', concat('x = ', if(o.repeats >= 7, '7+', toString(o.repeats))),
            {by:String} = 'month', formatDateTime(o.first_purchase, '%Y-%m'),
            formatDateTime(o.first_purchase, '%G-W%V')) AS part,
    if({by:String} = 'x', NULL, toUInt32(floor(o.age))) AS age,
    count() AS buyers,
    sum(o.repeats) AS repeats,
    sum(arraySum(arrayFilter(b -> NOT by_drops OR NOT has(o.coming.1, b.2), o.before).3)) AS net_before,
    avgOrNullIf(o.p_alive, by_drops OR o.repeats > 0) AS alive,
    any(o.horizon) AS horizon,
    sum(o.purchases) AS predicted_purchases,
    sum(o.value) AS predicted_value,
    min(o.matured) = 1 AS mature,
    if(mature, sum(o.bought_within), NULL) AS observed_purchases,
    if(mature, sum(arraySum(o.within.3)), NULL) AS observed_value,
    any(o.as_of) AS as_of,
    now_watermark AS watermark
FROM outcomes AS o
GROUP BY fit, part, age
ORDER BY fit, part, age

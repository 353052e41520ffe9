-- Predicted lifetimes held against what came: which needs every buyer's purchases and every prediction, so that screens read a
-- copy, as in 0018. Copies of a fit stay when another fit replaces its predictions.

CREATE VIEW IF NOT EXISTS ltv_calibration AS
WITH
    assumeNotNull((SELECT if({watermark_ms:Int64} > 0, fromUnixTimestamp64Milli({watermark_ms:Int64}, 'UTC'), stored)
                   FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks))) AS now_watermark,
    (SELECT arraySort(groupArray((starts, toString(drop_id), ends, toString(creator_id)))) FROM drops FINAL) AS listed,
    outcomes AS
    (
        SELECT
            p.model AS model, p.creator_id AS creator_id, p.currency AS currency, p.fit AS fit, p.as_of AS as_of, p.horizon AS horizon,
            p.player_id AS player_id, p.purchases AS purchases, p.purchases * p.mean_spend AS spend,
            p.model = 'bgbb' AS by_drops,
            arrayFilter(b -> p.creator_id = '' OR b.3 = p.creator_id, c.bought) AS own,
            arrayFilter(b -> b.1 < p.as_of, own) AS before,
            if(empty(before), '', arraySort(before)[1].2) AS first_drop,
            -- The next drops that the buyer could buy from, as many as the horizon says.
            arraySlice(arrayFilter(d -> d.2 != first_drop, f.next), 1, toUInt32(p.horizon)) AS coming,
            p.as_of + toIntervalSecond(toInt64(p.horizon * 604800)) AS ends_at,
            arrayFilter(b -> if(by_drops, has(coming.2, b.2), b.1 >= p.as_of AND b.1 < ends_at), own) AS within,
            if(by_drops, arrayCount(d -> d.3 <= now_watermark, coming) / p.horizon, greatest(0, least(1, dateDiff('second', p.as_of, now_watermark) / (p.horizon * 604800)))) AS passed,
            if(by_drops, length(arrayDistinct(within.2)),
               length(arrayDistinct(arrayFilter(day -> NOT has(arrayMap(b -> toDate(b.1), before), day), arrayMap(b -> toDate(b.1), within))))) AS bought_within,
            arraySum(within.4) AS spent_within
        FROM lifetimes AS p FINAL
        INNER JOIN
        (
            -- One drop more than the horizon has: a buyer's first one does not count.
            SELECT model, creator_id, currency, newest.1 AS fit,
                arraySlice(arrayFilter(d -> model = 'bgbb' AND d.1 > newest.2 AND (creator_id = '' OR d.4 = creator_id), listed), 1, toUInt32(newest.3) + 1) AS next
            FROM (SELECT model, creator_id, currency, argMax((fit, as_of, horizon), (revision, as_of)) AS newest FROM lifetimes GROUP BY model, creator_id, currency)
        ) AS f ON f.model = p.model AND f.creator_id = p.creator_id AND f.currency = p.currency AND f.fit = p.fit
        LEFT JOIN
        (
            SELECT player_id, currency, groupArray((at, drop_id, creator_id, net)) AS bought
            FROM
            (
                SELECT player_id, toString(currency) AS currency, minIf(effective_time, type = 'completed') AS at, toString(any(drop_id)) AS drop_id,
                    toString(any(creator_id)) AS creator_id, sum(amount) AS net
                FROM purchases FINAL
                GROUP BY player_id, currency, checkout_id
                HAVING countIf(type = 'completed') > 0 AND (countIf(type != 'completed') = 0 OR net > 0)
            )
            GROUP BY player_id, currency
        ) AS c ON c.player_id = p.player_id AND c.currency = p.currency
    )
SELECT
    toString(o.model) AS model, toString(o.creator_id) AS creator_id, toString(o.currency) AS currency, toString(o.fit) AS fit, any(o.as_of) AS as_of,
    any(o.horizon) AS horizon, toUInt8(o.decile) AS decile, count() AS buyers,
    avg(o.passed) AS passed,
    min(o.passed) >= 1 AS mature,
    avg(o.purchases) AS predicted,
    avg(o.bought_within) AS so_far,
    if(mature, so_far, NULL) AS observed,
    -- No less than chance gives at the predicted mean (Poisson, or binomial among the drops): a decile of which nobody buys has one, too.
    if(mature, sqrt(greatest(if(count() > 1, varSamp(o.bought_within), 0), predicted * if(any(o.by_drops), greatest(0, 1 - predicted / any(o.horizon)), 1)) / count()), NULL) AS observed_se,
    avg(o.spend) AS predicted_spend,
    if(mature, avg(o.spent_within), NULL) AS observed_spend,
    now_watermark AS watermark
FROM (SELECT *, ntile(10) OVER (PARTITION BY model, creator_id, currency ORDER BY purchases, player_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS decile FROM outcomes) AS o
GROUP BY o.model, o.creator_id, o.currency, o.fit, o.decile
COMMENT 'The newest fit of lifetimes against what came, by decile of predicted purchases. Grain: model, creator, currency and decile, 1 the lowest. Units: per buyer within the horizon; purchases are days with one (bgnbd) or drops bought from (bgbb); spend in minor units of currency, undiscounted; passed is the share of the horizon that is over. Maturity: observed is NULL until the horizon of every buyer of the decile is over by the watermark (watermark_ms, 0 for the stored one); refunds may still come.';

CREATE TABLE IF NOT EXISTS ltv_calibration_copies
(
    refreshed   DateTime64(3, 'UTC') COMMENT 'when the copy was made, wall clock',
    model       LowCardinality(String) COMMENT 'bgbb or bgnbd',
    creator_id  LowCardinality(String) COMMENT 'creator whose purchases alone count; empty for all',
    currency    LowCardinality(String) COMMENT 'ISO 4217',
    fit         String COMMENT 'the fit that predicted',
    as_of       DateTime64(3, 'UTC') COMMENT 'up to when the fit saw purchases',
    horizon     Float64 COMMENT 'weeks (bgnbd) or eligible drops (bgbb) ahead',
    decile      UInt8 COMMENT 'of predicted purchases, 1 the lowest',
    buyers      UInt64 COMMENT 'buyers of the decile',
    passed      Float64 COMMENT 'share of the horizon that is over, mean of the buyers',
    mature      Bool COMMENT 'whether the horizon is over for all of them',
    predicted   Float64 COMMENT 'purchases within the horizon per buyer',
    so_far      Float64 COMMENT 'purchases since, per buyer, within the horizon',
    observed    Nullable(Float64) COMMENT 'the same once mature; NULL before',
    observed_se Nullable(Float64) COMMENT 'its standard error, no less than chance gives at the predicted mean',
    predicted_spend Float64 COMMENT 'spend within the horizon per buyer, minor units of currency, undiscounted',
    observed_spend  Nullable(Float64) COMMENT 'net spend that came, per buyer, minor units of currency; NULL until mature',
    watermark   DateTime64(3, 'UTC') COMMENT 'that of the stored events when the copy was made'
)
ENGINE = ReplacingMergeTree(refreshed)
ORDER BY (model, creator_id, currency, fit, decile)
COMMENT 'Copies of ltv_calibration for screens: read with FINAL. Grain: model, creator, currency, fit and decile. Units: as in ltv_calibration. Maturity: column mature; as of refreshed, which for a fit that was replaced is before that.';

CREATE MATERIALIZED VIEW IF NOT EXISTS ltv_calibration_copying REFRESH EVERY 30 MINUTE APPEND TO ltv_calibration_copies EMPTY AS
SELECT now64(3, 'UTC') AS refreshed, model, creator_id, currency, fit, as_of, horizon, decile, buyers, passed, toBool(mature) AS mature, predicted, so_far, observed, observed_se,
    predicted_spend, observed_spend, watermark
FROM ltv_calibration(watermark_ms = 0)
COMMENT 'Fills ltv_calibration_copies every half hour. Grain: model, creator, currency, fit and decile. Units: as in ltv_calibration. Maturity: as in ltv_calibration.';

-- topic: evidence
-- purpose: How far the windows of a drop's lift have matured and up to where their read-out is published: what droplift lift --publish and the running pipeline go by.
-- grain: One row for the drop asked for; of all drops one per drop that has matured further than it is published, newest start first, at most 100.
-- units: UTC. matured is the newest time up to now at which a window was complete, NULL before the first, and next the one after it, NULL after the last: one day (which is the second) and 7 and 28 days after the end for returns, 7 and 28 days after the start for creators, each with the allowed lateness. published is the matured of the newest read-out among the estimates, NULL without one.
-- maturity: As of the watermark.
-- param drop String = : drop id; empty takes every drop that is due.
-- param back_days UInt16 = 366: of all drops, those that started at most this many days before the watermark.
-- param lateness_ms Int64 = 600000: allowed lateness.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
WITH
    toInt64(86400000) AS day,
    (SELECT if({watermark_ms:Int64} > 0, {watermark_ms:Int64}, toUnixTimestamp64Milli(stored)) FROM (SELECT minIf(watermark, NOT idle) AS stored FROM watermarks)) AS reached,
    listed AS
    (
        SELECT
            toString(d.drop_id) AS drop_id, toString(d.creator_id) AS creator_id, d.starts AS starts, d.ends AS ends,
            toUnixTimestamp64Milli(d.starts) AS start_ms, greatest(start_ms, toUnixTimestamp64Milli(d.ends)) AS end_ms,
            arrayMap(t -> t + {lateness_ms:Int64}, [end_ms + 2 * day, start_ms + 7 * day, end_ms + 7 * day, start_ms + 28 * day, end_ms + 28 * day]) AS times
        FROM drops AS d FINAL
        WHERE d.starts > toDateTime64(0, 3, 'UTC')
            AND if({drop:String} != '', d.drop_id = {drop:String}, start_ms >= reached - {back_days:UInt16} * day AND start_ms <= reached)
    ),
    readouts AS
    (
        SELECT toString(e.drop_id) AS drop_id, max(e.as_of) AS as_of
        FROM estimates AS e
        WHERE e.drop_id IN (SELECT drop_id FROM listed) AND e.metric IN ('change_audience', 'change_revenue', 'change_halo', 'change_return')
        GROUP BY drop_id
    )
SELECT
    l.drop_id AS drop_id,
    l.creator_id AS creator_id,
    l.starts AS starts,
    l.ends AS ends,
    if(arrayExists(t -> t <= reached, l.times), fromUnixTimestamp64Milli(arrayMax(arrayFilter(t -> t <= reached, l.times)), 'UTC'), NULL) AS matured,
    if(arrayExists(t -> t > reached, l.times), fromUnixTimestamp64Milli(arrayMin(arrayFilter(t -> t > reached, l.times)), 'UTC'), NULL) AS next,
    if(r.drop_id = '', NULL, r.as_of) AS published
FROM listed AS l
LEFT JOIN readouts AS r ON r.drop_id = l.drop_id
WHERE {drop:String} != '' OR ifNull(matured > published OR published IS NULL AND matured IS NOT NULL, false)
ORDER BY starts DESC, drop_id
LIMIT 100

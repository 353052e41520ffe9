-- topic: money
-- purpose: Are a drop's sales in the ledger in time (DOMAIN 8.3), and does any event about money wait for what it refers to?
-- grain: One row for the drop.
-- units: sales of the window by event time; within_5s and within_60s are the upper ends of the 95 % Wilson intervals of the shares posted so soon after their ingest, NULL without sales; parked counts events older than park_ms that still wait. A sale posted more than a day after its ingest came with a replay and says nothing of the ledger's speed.
-- maturity: As of at; a parked event that was posted since counts no more.
-- param drop String: drop id.
-- param at DateTime64(3,'UTC'): event time as of which it is judged; nothing newer is looked at.
-- param window_ms Int64 = 3600000: the window.
-- param park_ms Int64 = 900000: how long a refund may wait for its sale.
WITH
    3.841458820694124 AS zz,
    toInt64(toUnixTimestamp64Milli({at:DateTime64(3,'UTC')})) AS now_ms,
    sold AS
    (
        SELECT count() AS n, countIf(wait_ms <= 5000) AS c5, countIf(wait_ms <= 60000) AS c60
        FROM money_posted FINAL
        WHERE type = 'completed' AND drop_id = {drop:String} AND toUnixTimestamp64Milli(event_time) > now_ms - {window_ms:Int64}
            AND event_time <= {at:DateTime64(3,'UTC')} AND wait_ms < 86400000
    ),
    parked AS
    (
        SELECT DISTINCT key
        FROM money_exceptions
        WHERE drop_id = {drop:String} AND outcome IN ('parked', 'unknown_split') AND toUnixTimestamp64Milli(event_time) <= now_ms - {park_ms:Int64}
    ),
    waiting AS
    (
        SELECT count() AS n FROM parked
        WHERE key NOT IN (SELECT key FROM money_posted WHERE drop_id = {drop:String} AND key IN (SELECT key FROM parked))
    )
SELECT
    s.n AS sales,
    if(s.n = 0, NULL, least(1, (s.c5 / s.n + zz / (2 * s.n) + sqrt(zz * (s.c5 / s.n * (1 - s.c5 / s.n) / s.n + zz / (4 * s.n * s.n)))) / (1 + zz / s.n))) AS within_5s,
    if(s.n = 0, NULL, least(1, (s.c60 / s.n + zz / (2 * s.n) + sqrt(zz * (s.c60 / s.n * (1 - s.c60 / s.n) / s.n + zz / (4 * s.n * s.n)))) / (1 + zz / s.n))) AS within_60s,
    w.n AS parked
FROM sold AS s CROSS JOIN waiting AS w

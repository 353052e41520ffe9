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
    blocks AS (SELECT * FROM ledger WHERE has(tx_drop, {drop:String}) OR has(ex_drop, {drop:String})),
    sold AS
    (
        SELECT count() AS n, countIf(latency <= 5000) AS c5, countIf(latency <= 60000) AS c60
        FROM
        (
            SELECT toUnixTimestamp64Milli(posted_at) - tx_ingest_time[i] AS latency
            FROM blocks ARRAY JOIN arrayEnumerate(tx_checkout) AS i
            WHERE tx_drop[i] = {drop:String} AND tx_type[i] = 'completed' AND tx_event_time[i] > now_ms - {window_ms:Int64} AND tx_event_time[i] <= now_ms AND latency < 86400000
        )
    ),
    waiting AS
    (
        SELECT uniqExact(key) AS n
        FROM
        (
            SELECT (ex_source[i], ex_checkout[i], ex_type[i], ex_seq[i]) AS key
            FROM blocks ARRAY JOIN arrayEnumerate(ex_checkout) AS i
            WHERE ex_drop[i] = {drop:String} AND ex_outcome[i] IN ('parked', 'unknown_split') AND ex_event_time[i] <= now_ms - {park_ms:Int64}
        )
        WHERE key NOT IN (SELECT (tx_source[i], tx_checkout[i], tx_type[i], tx_seq[i]) FROM blocks ARRAY JOIN arrayEnumerate(tx_checkout) AS i WHERE tx_drop[i] = {drop:String})
    )
SELECT
    s.n AS sales,
    if(s.n = 0, NULL, least(1, (s.c5 / s.n + zz / (2 * s.n) + sqrt(zz * (s.c5 / s.n * (1 - s.c5 / s.n) / s.n + zz / (4 * s.n * s.n)))) / (1 + zz / s.n))) AS within_5s,
    if(s.n = 0, NULL, least(1, (s.c60 / s.n + zz / (2 * s.n) + sqrt(zz * (s.c60 / s.n * (1 - s.c60 / s.n) / s.n + zz / (4 * s.n * s.n)))) / (1 + zz / s.n))) AS within_60s,
    w.n AS parked
FROM sold AS s CROSS JOIN waiting AS w

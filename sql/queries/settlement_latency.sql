-- purpose: Settlement latency: how long after its ingest a sale stood in the ledger, against the objective (DOMAIN 8.3: 99 % within 5 s, 99.9 % within 60 s).
-- grain: One row per drop.
-- units: Seconds; within_5s and within_60s are shares of sales; met says that both objectives are.
-- maturity: As of now, posted sales only; settlement_open lists those still parked.
-- param drop String = : drop id; empty for all.
-- param target_5s Float64 = 0.99: objective for within_5s.
-- param target_60s Float64 = 0.999: objective for within_60s.
SELECT
    drop_id,
    count() AS sales,
    countIf(latency <= 5) / sales AS within_5s,
    countIf(latency <= 60) / sales AS within_60s,
    quantileExact(0.5)(latency) AS p50_s,
    quantileExact(0.99)(latency) AS p99_s,
    max(latency) AS max_s,
    within_5s >= {target_5s:Float64} AND within_60s >= {target_60s:Float64} AS met
FROM
(
    SELECT drop_id, (toUnixTimestamp64Milli(posted_at) - toUnixTimestamp64Milli(ingest_time)) / 1000 AS latency
    FROM ledger_transactions
    WHERE type = 'completed' AND ({drop:String} = '' OR drop_id = {drop:String})
)
GROUP BY drop_id
ORDER BY drop_id

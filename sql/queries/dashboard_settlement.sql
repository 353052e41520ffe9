-- purpose: Settlement latency of a drop: how long after its ingest a sale stood in the ledger, against the objective of 99 % within 5 s and 99.9 % within 60 s: red below (DOMAIN 8.3).
-- grain: One row, or none for a drop without sales.
-- units: Shares of the sales in [0, 1]; seconds. recorded counts sales posted a day or more after their ingest, as those of a recording are: they say nothing of the latency and are not in the shares.
-- maturity: As of now, posted sales only; open money lists those still parked.
-- param drop String: drop id.
-- param replay_s Int64 = 86400: a sale that is posted later than this after its ingest was played from a recording.
SELECT
    countIf(wait_ms < {replay_s:Int64} * 1000) AS measured,
    countIf(NOT (wait_ms < {replay_s:Int64} * 1000)) AS recorded,
    if(measured = 0, NULL, countIf(wait_ms < {replay_s:Int64} * 1000 AND wait_ms <= 5000) / measured) AS within_5s,
    if(measured = 0, NULL, countIf(wait_ms < {replay_s:Int64} * 1000 AND wait_ms <= 60000) / measured) AS within_60s,
    if(measured = 0, NULL, quantileExactIf(0.5)(wait_ms, wait_ms < {replay_s:Int64} * 1000) / 1000) AS p50_s,
    if(measured = 0, NULL, quantileExactIf(0.99)(wait_ms, wait_ms < {replay_s:Int64} * 1000) / 1000) AS p99_s,
    multiIf(measured = 0, 'recorded only', within_5s >= 0.99 AND within_60s >= 0.999, 'met', 'missed') AS objective
FROM money_posted FINAL
WHERE type = 'completed' AND drop_id = {drop:String}
HAVING measured + recorded > 0

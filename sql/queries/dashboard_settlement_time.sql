-- purpose: Settlement latency of a drop over time: share of the sales of each step that stood in the ledger within 5 s and within 60 s of their ingest; the lines are the objectives, 99 % and 99.9 % (DOMAIN 8.3).
-- grain: One row per step with a sale that was posted as it came.
-- units: Shares of the step's sales in [0, 1]; those played from a recording, a day or more after their ingest, are left out.
-- maturity: As of now, posted sales only.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
-- param replay_s Int64 = 86400: a sale that is posted later than this after its ingest was played from a recording.
SELECT
    toStartOfInterval(event_time, toIntervalSecond({step_s:Int64})) AS time,
    countIf(wait_ms <= 5000) / count() AS `within 5 s`,
    countIf(wait_ms <= 60000) / count() AS `within 60 s`
FROM money_posted FINAL
WHERE type = 'completed' AND drop_id = {drop:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}
  AND wait_ms < {replay_s:Int64} * 1000
GROUP BY time
ORDER BY time

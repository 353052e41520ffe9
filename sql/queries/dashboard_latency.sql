-- purpose: Edge latency of landing requests over time by POP.
-- grain: One row per step and POP with a sample.
-- units: Milliseconds to the first byte; samples weighted by 1/sample_rate.
-- maturity: Whatever is stored; resent samples count as often as they were sent.
-- param drop String: drop id.
-- param pops Array(String): POPs; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
SELECT
    toStartOfInterval(at, toIntervalSecond({step_s:Int64})) AS time,
    pop,
    quantileExactWeighted(0.5)(ms, toUInt32(round(100 / sample_rate))) AS p50,
    quantileExactWeighted(0.95)(ms, toUInt32(round(100 / sample_rate))) AS p95
FROM latency_events
WHERE drop_id = {drop:String} AND request = 'landing' AND NOT synthetic AND NOT quarantined
  AND (has({pops:Array(String)}, '*') OR has({pops:Array(String)}, pop))
  AND at >= {from:DateTime64(3,'UTC')} AND at < {to:DateTime64(3,'UTC')}
GROUP BY time, pop
ORDER BY time, pop

-- purpose: A drop's edge spending against its plan, with the projection to its end; the plan is the budget times the forecast share of traffic, and above the line of the budget nothing may go (DOMAIN 9).
-- grain: One row per step with a cost in the currency of the budget, or with a published estimate.
-- units: Major units of currency (nano-units divided by 10^9), cumulative from the first cost to the end of the step.
-- maturity: spent_provisional holds what can still change, spent the final numbers; projected is what is spent plus the rate of the last 15 min until the drop's end, as published.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
WITH
    steps AS
    (
        SELECT
            toStartOfInterval(c.pane_start, toIntervalSecond({step_s:Int64})) AS step,
            any(d.budget) AS budget,
            any(d.budget_currency) AS currency,
            any(toUnixTimestamp64Milli(d.starts)) AS start_ms,
            any(toUnixTimestamp64Milli(d.ends)) AS end_ms,
            arrayConcat([toInt64(0)], any(d.forecast_age_ms), [end_ms - start_ms]) AS ages,
            arrayConcat([toInt64(0)], arrayMap(b -> toInt64(b), any(d.forecast_bps)), [toInt64(10000)]) AS bps,
            least(greatest(toInt64(toUnixTimestamp(step) + {step_s:Int64}) * 1000 - start_ms, 0), end_ms - start_ms) AS age,
            least(arrayLastIndex(a -> a <= age, ages), toUInt32(length(ages) - 1)) AS i,
            budget * (bps[i] + (bps[i + 1] - bps[i]) * (age - ages[i]) / greatest(ages[i + 1] - ages[i], 1)) / 10000 AS planned,
            sum(sum(ifNull(c.cost, 0))) OVER (ORDER BY step) AS total,
            max(max(c.maturity != 'final')) OVER (ORDER BY step) AS open
        FROM edge_cost_latest AS c
        INNER JOIN (SELECT drop_id, starts, ends, budget, budget_currency, forecast_age_ms, forecast_bps FROM drops FINAL WHERE drop_id = {drop:String}) AS d
            ON d.drop_id = c.drop_id
        WHERE c.drop_id = {drop:String} AND c.currency = d.budget_currency AND c.pane_start < {to:DateTime64(3,'UTC')}
        GROUP BY step
    )
SELECT
    p.time AS time,
    p.currency AS currency,
    max(p.spent) AS spent,
    max(p.spent_provisional) AS spent_provisional,
    max(p.planned) AS planned,
    max(p.projected) AS projected,
    max(p.budget) AS budget
FROM
(
    SELECT toDateTime(step, 'UTC') AS time, toString(currency) AS currency, if(open = 1, NULL, total / 1e9) AS spent, if(open = 1, total / 1e9, NULL) AS spent_provisional,
        planned / 1e9 AS planned, NULL AS projected, nullIf(budget, 0) / 1e9 AS budget
    FROM steps
    UNION ALL
    SELECT toDateTime(toStartOfInterval(as_of, toIntervalSecond({step_s:Int64})), 'UTC') AS step, substring(argMax(toString(unit), revision), 6), NULL, NULL, NULL, argMax(tuple(value), revision).1 / 1e9, NULL
    FROM estimates
    WHERE drop_id = {drop:String} AND metric = 'edge_projection' AND enough AND as_of < {to:DateTime64(3,'UTC')}
    GROUP BY step
) AS p
WHERE p.time >= toStartOfInterval({from:DateTime64(3,'UTC')}, toIntervalSecond({step_s:Int64}))
GROUP BY time, currency
ORDER BY time, currency

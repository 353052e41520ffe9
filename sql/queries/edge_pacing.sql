-- purpose: How a drop's edge spending ran against its budget and plan, minute by minute, with the pace and the budget level then in force.
-- grain: One row per minute of the drop that has cost in the budget's currency.
-- units: cost, spent and planned in nano-units of currency; planned is the budget times the forecast share of traffic up to the end of the minute; pace is the share of optional work let through.
-- maturity: final when every pane of the minute is final, else provisional; decisions do not change.
-- param drop String: drop id.
WITH
    minutes AS
    (
        SELECT
            c.drop_id AS drop_id,
            toStartOfMinute(c.pane_start) AS minute,
            toInt64(toUnixTimestamp(minute)) * 1000 + 60000 AS ends_ms,
            any(d.budget) AS budget,
            any(d.budget_currency) AS currency,
            any(toUnixTimestamp64Milli(d.starts)) AS start_ms,
            any(toUnixTimestamp64Milli(d.ends)) AS end_ms,
            any(d.forecast_age_ms) AS forecast_ages,
            any(d.forecast_bps) AS forecast_bps,
            sum(ifNull(c.cost, 0)) AS cost,
            if(countIf(c.maturity != 'final') > 0, 'provisional', 'final') AS maturity
        FROM edge_cost_latest AS c
        INNER JOIN (SELECT drop_id, starts, ends, budget, budget_currency, forecast_age_ms, forecast_bps FROM drops FINAL WHERE drop_id = {drop:String}) AS d
            ON d.drop_id = c.drop_id
        WHERE c.drop_id = {drop:String} AND c.currency = d.budget_currency
        GROUP BY c.drop_id, minute
    ),
    shares AS
    (
        SELECT
            *,
            sum(cost) OVER (ORDER BY minute) AS spent,
            arrayConcat([toInt64(0)], forecast_ages, [end_ms - start_ms]) AS ages,
            arrayConcat([toInt64(0)], arrayMap(b -> toInt64(b), forecast_bps), [toInt64(10000)]) AS bps,
            least(greatest(ends_ms - start_ms, 0), end_ms - start_ms) AS age,
            least(arrayLastIndex(a -> a <= age, ages), toUInt32(length(ages) - 1)) AS i
        FROM minutes
    )
SELECT
    s.minute AS minute,
    s.cost AS cost,
    s.spent AS spent,
    s.budget * (s.bps[s.i] + (s.bps[s.i + 1] - s.bps[s.i]) * (s.age - s.ages[s.i]) / greatest(s.ages[s.i + 1] - s.ages[s.i], 1)) / 10000 AS planned,
    s.budget AS budget,
    s.currency AS currency,
    if(p.drop_id = '', 1., p.value) AS pace,
    if(l.drop_id = '', 'ok', l.chosen) AS level,
    s.maturity AS maturity
FROM shares AS s
ASOF LEFT JOIN (SELECT drop_id, toInt64(toUnixTimestamp64Milli(at)) AS at_ms, value FROM decisions WHERE drop_id = {drop:String} AND topic = 'pace') AS p
    ON p.drop_id = s.drop_id AND p.at_ms <= s.ends_ms
ASOF LEFT JOIN (SELECT drop_id, toInt64(toUnixTimestamp64Milli(at)) AS at_ms, chosen FROM decisions WHERE drop_id = {drop:String} AND topic = 'budget' AND subject = '') AS l
    ON l.drop_id = s.drop_id AND l.at_ms <= s.ends_ms
ORDER BY minute

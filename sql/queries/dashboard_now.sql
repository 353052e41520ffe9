-- purpose: The velocity of a drop now, against its plan.
-- grain: One row.
-- units: Conversions per minute over the 5 minutes up to the newest pane, the range's end or the drop's. of_plan is the share of the plan that dashboard_velocity_plan explains: below 0.8 orange, because the drop then ends short by more than the counting noise of most drops; below 0.5 red, the velocity has collapsed; NULL where the plan of these minutes is below 5 conversions, since chance alone then makes it anything. plan_from names the drop that the plan is scaled by, or what is missing.
-- maturity: maturity says whether a pane of the 5 minutes can still change.
-- param drop String: drop id.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
WITH
    -- Start, end, forecast, followers, creator. One subquery gives all: each use of a scalar is analysed anew.
    (
        SELECT any((toUnixTimestamp64Milli(starts), toUnixTimestamp64Milli(ends), arrayZip(forecast_age_ms, forecast_bps), followers, creator_id))
        FROM drops FINAL WHERE drop_id = {drop:String}
    ) AS own,
    (
        SELECT argMax((toString(drop_id), toUnixTimestamp64Milli(starts), toUnixTimestamp64Milli(ends), followers), (creator_id = own.5, starts, drop_id))
        FROM drops FINAL
        WHERE drop_id != {drop:String} AND toUnixTimestamp64Milli(ends) <= own.1
          AND drop_id IN (SELECT drop_id FROM velocity WHERE conversions > 0 GROUP BY drop_id)
    ) AS previous,
    (
        SELECT least(own.2, max(toUnixTimestamp64Milli(pane_start) + pane_ms), toUnixTimestamp64Milli({to:DateTime64(3,'UTC')}))
        FROM velocity WHERE drop_id = {drop:String}
    ) AS newest,
    age -> bps[least(arrayLastIndex(a -> a <= age, ages), length(ages) - 1) AS i] + (bps[i + 1] - bps[i]) * (age - ages[i]) / greatest(ages[i + 1] - ages[i], 1) AS share
SELECT
    n / minutes AS per_minute,
    if(empty(forecast) OR scale.1 = '', NULL, expected * (share(at - start) - share(greatest(at - start - 300000, 0))) / 10000 / minutes) AS plan,
    if(plan * minutes >= 5, per_minute / plan, NULL) AS of_plan,
    multiIf(scale.1 = '', 'no earlier drop', empty(forecast), 'no forecast in the catalogue', scale.1) AS plan_from,
    if(open > 0, 'provisional', 'final') AS maturity
FROM
(
    SELECT
        facts.1 AS start, facts.3 AS forecast, scale, at, least(300000, at - start) / 60000 AS minutes,
        arrayConcat([toInt64(0)], forecast.1, [facts.2 - start]) AS ages,
        arrayConcat([toInt64(0)], arrayMap(b -> toInt64(b), forecast.2), [toInt64(10000)]) AS bps,
        total * if(facts.4 > 0 AND scale.4 > 0, facts.4 / scale.4, 1) AS expected,
        n, open
    FROM (SELECT own AS facts, previous AS scale, newest AS at) AS f
    CROSS JOIN
    (
        SELECT sum(conversions) AS total FROM velocity_latest AS v
        WHERE v.drop_id = previous.1 AND toUnixTimestamp64Milli(v.pane_start) < previous.3 AND toUnixTimestamp64Milli(v.pane_start) + v.pane_ms > previous.2
    ) AS p
    CROSS JOIN
    (
        SELECT sum(v.conversions) AS n, countIf(v.maturity != 'final') AS open
        FROM velocity_latest AS v
        -- A pane is a minute long at the most.
        WHERE v.drop_id = {drop:String} AND v.pane_start < fromUnixTimestamp64Milli(newest) AND v.pane_start > fromUnixTimestamp64Milli(newest - 360000)
          AND toUnixTimestamp64Milli(v.pane_start) + v.pane_ms > greatest(newest - 300000, own.1)
    ) AS w
)
WHERE at > start

-- purpose: The velocity of a drop now, against its plan.
-- grain: One row.
-- units: Conversions per minute over the 5 minutes up to the newest pane, the range's end or the drop's. of_plan is the share of the plan that dashboard_velocity_plan explains: below 0.8 orange, because the drop then ends short by more than the counting noise of most drops; below 0.5 red, the velocity has collapsed; NULL where the plan of these minutes is below 5 conversions, since chance alone then makes it anything. plan_from names the drop that the plan is scaled by, or what is missing.
-- maturity: maturity says whether a pane of the 5 minutes can still change.
-- param drop String: drop id.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
WITH
    (SELECT any(toUnixTimestamp64Milli(starts)) FROM drops FINAL WHERE drop_id = {drop:String}) AS start,
    (SELECT any(toUnixTimestamp64Milli(ends)) FROM drops FINAL WHERE drop_id = {drop:String}) AS end,
    (SELECT any(arrayZip(forecast_age_ms, forecast_bps)) FROM drops FINAL WHERE drop_id = {drop:String}) AS forecast,
    arrayConcat([toInt64(0)], forecast.1, [end - start]) AS ages,
    arrayConcat([toInt64(0)], arrayMap(b -> toInt64(b), forecast.2), [toInt64(10000)]) AS bps,
    (
        SELECT argMax((toString(drop_id), toUnixTimestamp64Milli(starts), toUnixTimestamp64Milli(ends), followers),
            (creator_id = (SELECT any(creator_id) FROM drops FINAL WHERE drop_id = {drop:String}), starts, drop_id))
        FROM drops FINAL
        WHERE drop_id != {drop:String} AND toUnixTimestamp64Milli(ends) <= start
          AND drop_id IN (SELECT drop_id FROM velocity WHERE conversions > 0 GROUP BY drop_id)
    ) AS previous,
    (
        SELECT sum(conversions) FROM velocity_latest AS v
        WHERE v.drop_id = previous.1 AND toUnixTimestamp64Milli(v.pane_start) < previous.3 AND toUnixTimestamp64Milli(v.pane_start) + v.pane_ms > previous.2
    ) AS total,
    (SELECT any(followers) FROM drops FINAL WHERE drop_id = {drop:String}) AS followers,
    total * if(followers > 0 AND previous.4 > 0, followers / previous.4, 1) AS expected,
    (SELECT (max(toUnixTimestamp64Milli(pane_start) + pane_ms), max(pane_ms)) FROM velocity WHERE drop_id = {drop:String}) AS newest,
    least(end, newest.1, toUnixTimestamp64Milli({to:DateTime64(3,'UTC')})) AS at,
    least(300000, at - start) / 60000 AS minutes,
    age -> bps[least(arrayLastIndex(a -> a <= age, ages), length(ages) - 1) AS i] + (bps[i + 1] - bps[i]) * (age - ages[i]) / greatest(ages[i + 1] - ages[i], 1) AS share
SELECT
    sum(v.conversions) / minutes AS per_minute,
    if(empty(forecast) OR previous.1 = '', NULL, expected * (share(at - start) - share(greatest(at - start - 300000, 0))) / 10000 / minutes) AS plan,
    if(plan * minutes >= 5, per_minute / plan, NULL) AS of_plan,
    multiIf(previous.1 = '', 'no earlier drop', empty(forecast), 'no forecast in the catalogue', previous.1) AS plan_from,
    if(countIf(v.maturity != 'final') > 0, 'provisional', 'final') AS maturity
FROM velocity_latest AS v
WHERE v.drop_id = {drop:String} AND v.pane_start < fromUnixTimestamp64Milli(at) AND v.pane_start > fromUnixTimestamp64Milli(greatest(at - 300000, start) - newest.2)
  AND toUnixTimestamp64Milli(v.pane_start) + v.pane_ms > greatest(at - 300000, start)
HAVING at > start

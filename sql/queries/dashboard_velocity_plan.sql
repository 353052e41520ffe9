-- purpose: What a drop's velocity is held against: its plan, and the previous drop at the same age (DOMAIN 2.3).
-- grain: One row per step after the drop's start, up to its end.
-- units: Conversions per minute over the trailing 5 minutes. The plan is the catalogue's forecast of the traffic's course, times the previous drop's conversions, times the ratio of the two drops' followers where both are known; the previous drop is the creator's newest earlier one with conversions, or else anybody's.
-- maturity: The plan is a guess by one drop: it knows no other price, creator or hour of the day. NULL without a forecast or an earlier drop.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s Int64: distance between two points, in seconds.
WITH
    -- One look at the catalogue for all that it says of the drop.
    (
        SELECT any((toUnixTimestamp64Milli(starts), toUnixTimestamp64Milli(ends), arrayZip(forecast_age_ms, forecast_bps), followers, creator_id))
        FROM drops FINAL WHERE drop_id = {drop:String}
    ) AS own,
    own.1 AS start,
    own.2 AS end,
    own.3 AS forecast,
    arrayConcat([toInt64(0)], forecast.1, [end - start]) AS ages,
    arrayConcat([toInt64(0)], arrayMap(b -> toInt64(b), forecast.2), [toInt64(10000)]) AS bps,
    (
        SELECT argMax((toString(drop_id), toUnixTimestamp64Milli(starts), toUnixTimestamp64Milli(ends), followers),
            (creator_id = own.5, starts, drop_id))
        FROM drops FINAL
        WHERE drop_id != {drop:String} AND toUnixTimestamp64Milli(ends) <= start
          AND drop_id IN (SELECT drop_id FROM velocity WHERE conversions > 0 GROUP BY drop_id)
    ) AS previous,
    panes AS
    (
        SELECT toUnixTimestamp64Milli(v.pane_start) - previous.2 + start AS at, sum(v.conversions) AS n
        FROM velocity_latest AS v
        WHERE v.drop_id = previous.1 AND toUnixTimestamp64Milli(v.pane_start) < previous.3
          AND toUnixTimestamp64Milli(v.pane_start) + v.pane_ms > previous.2
        GROUP BY v.pane_start
    ),
    total * if(own.4 > 0 AND previous.4 > 0, own.4 / previous.4, 1) AS expected,
    1000 * greatest({step_s:Int64}, 1) AS step,
    intDiv(greatest(start, toUnixTimestamp64Milli({from:DateTime64(3,'UTC')})), step) * step + step AS first,
    least(end, toUnixTimestamp64Milli({to:DateTime64(3,'UTC')})) AS last,
    -- Share of the whole expected by an age: straight lines between the forecast's points.
    age -> bps[least(arrayLastIndex(a -> a <= age, ages), length(ages) - 1) AS i] + (bps[i + 1] - bps[i]) * (age - ages[i]) / greatest(ages[i + 1] - ages[i], 1) AS share
SELECT
    fromUnixTimestamp64Milli(at, 'UTC') AS time,
    if(empty(forecast) OR previous.1 = '', NULL,
       expected * (share(at - start) - share(greatest(at - start - 300000, 0))) / 10000 / (least(300000, at - start) / 60000)) AS plan,
    if(previous.1 = '' OR at - start > previous.3 - previous.2, NULL, n5 / (least(300000, at - start) / 60000)) AS `previous drop`
FROM
(
    SELECT at, point, sum(n) OVER (ORDER BY at RANGE BETWEEN 300000 PRECEDING AND 1 PRECEDING) AS n5, sum(n) OVER () AS total
    FROM
    (
        SELECT at, toInt64(n) AS n, 0 AS point FROM panes
        UNION ALL
        SELECT arrayJoin(range(first, last + 1, step)) AS at, toInt64(0) AS n, 1 AS point
    )
)
WHERE point = 1
ORDER BY time

-- purpose: The state of a drop's budget and what is shed because of it: ok, warn when the projection reaches the budget, cap when 95 % of it are spent or in flight, which holds until the budget is raised (DOMAIN 9).
-- grain: One row per change, and one for the start of the range.
-- units: level and the last kind of work that is shed; UTC.
-- maturity: Final; a later decision does not change an earlier one.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    time,
    ifNull(anyLast(own_level) OVER until_then, 'ok') AS level,
    ifNull(anyLast(own_shed) OVER until_then, 'none') AS shed
FROM
(
    SELECT time, argMaxOrNullIf(toString(chosen), at, topic = 'budget') AS own_level, argMaxOrNullIf(toString(chosen), at, topic = 'shed') AS own_shed
    FROM
    (
        SELECT greatest(at, {from:DateTime64(3,'UTC')}) AS time, at, topic, chosen
        FROM decisions
        WHERE drop_id = {drop:String} AND topic IN ('budget', 'shed') AND subject = '' AND at < {to:DateTime64(3,'UTC')}
        UNION ALL
        SELECT greatest(starts, {from:DateTime64(3,'UTC')}), starts, '', '' FROM drops FINAL WHERE drop_id = {drop:String} AND starts < {to:DateTime64(3,'UTC')}
    )
    GROUP BY time
)
WINDOW until_then AS (ORDER BY time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
ORDER BY time
LIMIT 1000

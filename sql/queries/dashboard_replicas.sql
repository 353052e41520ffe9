-- purpose: Replicas of a drop's edge: what the load asks for, what the rest of the budget pays for, and what was chosen (DOMAIN 9).
-- grain: One row per decision, the newest 2,000 of the range, and one for its start.
-- units: Replicas; cost_max is NULL where no budget limits them.
-- maturity: Final; a later decision does not change an earlier one.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT * FROM
(
    SELECT
        greatest(at, {from:DateTime64(3,'UTC')}) AS time,
        argMax(value, at) AS chosen,
        argMax(inputs['hpa'], at) AS wanted,
        argMax(if(mapContains(inputs, 'cost_max'), tuple(toNullable(inputs['cost_max'])), tuple(NULL)), at).1 AS cost_max
    FROM decisions
    WHERE drop_id = {drop:String} AND topic = 'replicas' AND at < {to:DateTime64(3,'UTC')}
    GROUP BY time
    ORDER BY time DESC
    LIMIT 2000
)
ORDER BY time

-- purpose: Replicas of a drop's edge: what the load asks for, what the rest of the budget pays for, and what was chosen (DOMAIN 9).
-- grain: One row per decision, the newest 2,000 of the range, one for its start, and one where the drop's data end: a decision holds until the next.
-- units: Replicas; cost_max is NULL where no budget limits them.
-- maturity: Final; a later decision does not change an earlier one.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
WITH
    (SELECT greatest(least(maxOrNull(pane_start), {to:DateTime64(3,'UTC')}), {from:DateTime64(3,'UTC')}) FROM edge_cost WHERE drop_id = {drop:String}) AS shown_to
SELECT * FROM
(
    SELECT
        d.time AS time,
        argMax(d.value, d.at) AS chosen,
        argMax(d.inputs['hpa'], d.at) AS wanted,
        argMax(if(mapContains(d.inputs, 'cost_max'), tuple(toNullable(d.inputs['cost_max'])), tuple(NULL)), d.at).1 AS cost_max
    FROM
    (
        SELECT arrayJoin(if(at = max(at) OVER () AND shown_to > at, [greatest(at, {from:DateTime64(3,'UTC')}), assumeNotNull(shown_to)], [greatest(at, {from:DateTime64(3,'UTC')})])) AS time, at, value, inputs
        FROM decisions
        WHERE drop_id = {drop:String} AND topic = 'replicas' AND at < {to:DateTime64(3,'UTC')}
    ) AS d
    GROUP BY time
    ORDER BY time DESC
    LIMIT 2000
)
ORDER BY time

-- purpose: What was decided about a drop's edge spending, and why: pace, budget, replicas and work that is shed.
-- grain: One row per decision, the newest 200 of the range; one that says so when there is none.
-- units: value is the pace, the level or the replicas; spent, projected and budget in major units of the budget's currency; UTC.
-- maturity: Final; a later decision does not change an earlier one.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    if(x.k = 0, NULL, x.at) AS time,
    if(x.k = 0, 'none', x.topic) AS topic,
    x.chosen AS chosen, x.previous AS previous,
    if(x.k = 0, NULL, x.value) AS value,
    if(x.k = 0, 'spending gave no cause for a decision', x.reason) AS reason,
    if(x.k = 0, NULL, x.inputs['spent'] / 1e9) AS spent,
    if(x.k = 0, NULL, x.inputs['projected'] / 1e9) AS projected,
    if(x.k = 0, NULL, x.inputs['budget'] / 1e9) AS budget,
    toString(d.budget_currency) AS currency
FROM (SELECT 1 AS k, budget_currency FROM drops FINAL WHERE drop_id = {drop:String}) AS d
LEFT JOIN
(
    SELECT 1 AS k, at, toString(topic) AS topic, toString(chosen) AS chosen, toString(previous) AS previous, value, reason, inputs
    FROM decisions
    WHERE drop_id = {drop:String} AND topic IN ('pace', 'budget', 'replicas', 'shed') AND at >= {from:DateTime64(3,'UTC')} AND at < {to:DateTime64(3,'UTC')}
    ORDER BY at DESC, topic, subject
    LIMIT 200
) AS x USING (k)
ORDER BY time DESC, topic, chosen

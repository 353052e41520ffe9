-- purpose: The live decisions about a drop, with what they were made from.
-- grain: One row per decision, newest first.
-- units: at in UTC, event time; value and inputs by topic: replicas, shares, nano-units of the budget's currency.
-- maturity: A decision does not change; later ones replace it.
-- param drop String: drop id.
-- param topic String = : pace, budget, replicas, shed, inventory, burn_rate or experiment; empty for all.
SELECT at, topic, subject, previous, chosen, value, reason, inputs
FROM decisions
WHERE drop_id = {drop:String} AND ({topic:String} = '' OR topic = {topic:String})
ORDER BY at DESC, topic, subject

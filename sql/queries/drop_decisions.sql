-- topic: evidence
-- purpose: Every live decision about a drop, with its reason and the numbers that it rests on.
-- grain: One row per decision.
-- units: value of what was chosen, where it is a number; inputs by name.
-- maturity: Final; a later decision does not change an earlier one.
-- param drop String: drop id.
SELECT at, topic, subject, chosen, previous, value, reason, inputs
FROM decisions
WHERE drop_id = {drop:String}
ORDER BY at, topic, subject

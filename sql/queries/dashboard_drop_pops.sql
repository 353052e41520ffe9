-- purpose: POPs of a drop, for a choice.
-- grain: One row per POP.
-- units: None. One with a backslash is left out, since Grafana's quotes do not hold it; it is among all of them.
-- maturity: As of now.
-- param drop String: drop id.
SELECT DISTINCT pop FROM velocity WHERE drop_id = {drop:String} AND pop != '' AND position(pop, '\\') = 0 ORDER BY pop

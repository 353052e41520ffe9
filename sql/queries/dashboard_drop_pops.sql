-- purpose: POPs of a drop, for a choice.
-- grain: One row per POP.
-- units: None.
-- maturity: As of now.
-- param drop String: drop id.
SELECT DISTINCT pop FROM velocity WHERE drop_id = {drop:String} AND pop != '' ORDER BY pop

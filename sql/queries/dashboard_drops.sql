-- purpose: Drops of the chosen creators, newest first, for a choice.
-- grain: One row per drop.
-- units: None.
-- maturity: As of now.
-- param creators Array(String): creator ids; an element * stands for all.
SELECT drop_id FROM drops FINAL
WHERE has({creators:Array(String)}, '*') OR has({creators:Array(String)}, creator_id)
ORDER BY starts DESC, drop_id

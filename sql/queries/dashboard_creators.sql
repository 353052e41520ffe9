-- purpose: Creators with a drop, for a choice.
-- grain: One row per creator.
-- units: None.
-- maturity: As of now.
SELECT DISTINCT creator_id FROM drops FINAL WHERE creator_id != '' ORDER BY creator_id

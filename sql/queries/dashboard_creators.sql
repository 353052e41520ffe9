-- purpose: Creators with a drop, for a choice.
-- grain: One row per creator.
-- units: None. One with a backslash is left out, since Grafana's quotes do not hold it; it is among all of them.
-- maturity: As of now.
SELECT DISTINCT creator_id FROM drops FINAL WHERE creator_id != '' AND position(creator_id, '\\') = 0 ORDER BY creator_id

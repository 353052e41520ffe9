-- purpose: Languages that a drop is subtitled in, for a choice.
-- grain: One row per target language.
-- units: None. One with a backslash is left out, since Grafana's quotes do not hold it; it is among all of them.
-- maturity: As of now.
-- param drop String: drop id.
SELECT DISTINCT language FROM localization WHERE drop_id = {drop:String} AND position(language, '\\') = 0 ORDER BY language

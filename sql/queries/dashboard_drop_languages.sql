-- purpose: Languages that a drop is subtitled in, for a choice.
-- grain: One row per target language.
-- units: None.
-- maturity: As of now.
-- param drop String: drop id.
SELECT DISTINCT language FROM localization WHERE drop_id = {drop:String} ORDER BY language

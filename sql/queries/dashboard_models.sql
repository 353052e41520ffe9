-- topic: models
-- purpose: Models that were published or that edges asked, for a choice.
-- grain: One row per model.
-- units: None.
-- maturity: As of now.
SELECT model FROM
(
    SELECT toString(name) AS model FROM models
    UNION DISTINCT
    SELECT toString(name) FROM rollouts
)
WHERE model != ''
ORDER BY model != 'churn', model
LIMIT 200

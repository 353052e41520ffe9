-- topic: models
-- purpose: Scores whose label is known, with their vectors: what was said of players, and what became of them.
-- grain: One row per player and scoring time.
-- units: vector in the order of its set, -1 for missing; probabilities.
-- maturity: Final for the rows it has.
-- param model String = churn: model.
-- param feature_hash String = : hash of the feature set; empty takes every one.
-- param from DateTime64(3,'UTC') = 1970-01-01: scoring times from this on.
-- param to DateTime64(3,'UTC') = 2100-01-01: and before this.
SELECT player_id, scored_at, churned, vector, model_version, p, shadow_version, shadow_p, label_from, label_to
FROM examples
WHERE model = {model:String} AND {feature_hash:String} IN ('', feature_hash)
  AND scored_at >= {from:DateTime64(3,'UTC')} AND scored_at < {to:DateTime64(3,'UTC')} AND notEmpty(vector)
ORDER BY scored_at, player_id, kafka_partition, kafka_offset
LIMIT 1 BY player_id, scored_at

-- topic: models
-- purpose: Scored vectors beside the stored features that they should have been made of: the same revision, or the newest one that was known at the scoring time. What differs is skew between training and serving.
-- grain: One row per score with features from the feature store, a sample in an order that is random but the same every time; scores without stored features are left out.
-- units: vector in the order of its set, -1 for missing; the other columns as in features.
-- maturity: As of now.
-- param model String = churn: model.
-- param feature_hash String = : hash of the feature set; empty takes every one.
-- param from DateTime64(3,'UTC') = 1970-01-01: scoring times from this on.
-- param to DateTime64(3,'UTC') = 2100-01-01: and before this.
-- param logged Bool = 1: take the revision that was logged; otherwise the newest that was known.
-- param event Bool = 0: take event time for the time at which a revision was known, for replayed history.
-- param limit UInt64 = 10000: scores at most.
SELECT
    s.scored_at AS scored_at, s.vector AS vector,
    f.* EXCEPT (inserted_at)
FROM
(
    SELECT id, player_id AS scored_player, event_time AS scored_at, feature_revision, vector FROM score_events
    WHERE model = {model:String} AND {feature_hash:String} IN ('', feature_hash)
      AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')} AND NOT synthetic AND NOT quarantined
      AND feature_revision > 0 AND notEmpty(vector)
    ORDER BY cityHash64(id), kafka_partition, kafka_offset LIMIT 1 BY id LIMIT {limit:UInt64}
) AS s
INNER JOIN
(
    SELECT * FROM features
    WHERE player_id IN (SELECT player_id FROM score_events WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')} AND feature_revision > 0)
) AS f ON f.player_id = s.scored_player
WHERE if({logged:Bool}, f.revision = s.feature_revision,
    f.as_of <= s.scored_at AND ({event:Bool} OR f.kafka_time <= s.scored_at))
ORDER BY s.id, f.revision DESC, f.kafka_time DESC
LIMIT 1 BY s.id

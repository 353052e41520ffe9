-- topic: models
-- purpose: Whether edges scored what was known: the revision of features behind each score against the newest one that had been published by then.
-- grain: One row per hash of the feature set, of scores whose features came from the feature store.
-- units: Scores, resent ones once and synthetic ones not; age in seconds from the event time of the features to the scoring time. unknown: ClickHouse has no such revision. behind: a newer revision had been delivered before; ahead: the revision was delivered only after the score, so that one of the two clocks is wrong.
-- maturity: As of now; unknown falls as the sink catches up.
-- param model String = churn: model.
-- param from DateTime64(3,'UTC') = 1970-01-01: scoring times from this on.
-- param to DateTime64(3,'UTC') = 2100-01-01: and before this.
-- param event Bool = 0: take event time for the time of delivery, for replayed history.
-- param grace_ms Int64 = 1000: how long a revision may take from its delivery to the edge.
-- param sample UInt64 = 0: take about so many scores, chosen by a hash, when there are more; 0 takes all.
WITH
    (SELECT greatest(1, intDiv(count(), greatest(1, {sample:UInt64}))) FROM score_events
     WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}) AS every
SELECT
    count() AS scores,
    countIf(NOT known) AS unknown,
    countIf(known AND newest > revision) AS behind,
    countIf(known AND known_at > scored_at) AS ahead,
    behind / scores AS behind_share,
    quantileExact(0.5)(age_s) AS age_p50_s, quantileExact(0.95)(age_s) AS age_p95_s, max(age_s) AS age_max_s,
    feature_hash
FROM
(
    SELECT
        s.id, any(s.feature_hash) AS feature_hash, any(s.feature_revision) AS revision,
        any(toUnixTimestamp64Milli(s.event_time)) AS scored_at,
        any(toUnixTimestamp64Milli(s.event_time) - toUnixTimestamp64Milli(s.feature_as_of)) / 1000 AS age_s,
        countIf(f.revision = s.feature_revision AND f.player_id != '') > 0 AS known,
        minIf(if({event:Bool}, toUnixTimestamp64Milli(f.as_of), toUnixTimestamp64Milli(f.kafka_time)), f.revision = s.feature_revision) AS known_at,
        maxIf(f.revision, f.player_id != '' AND if({event:Bool}, f.as_of, f.kafka_time) <= s.event_time - toIntervalMillisecond({grace_ms:Int64})) AS newest
    FROM
    (
        SELECT id, player_id, event_time, feature_hash, feature_revision, feature_as_of FROM score_events
        WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')} AND NOT synthetic AND NOT quarantined
          AND feature_revision > 0
          AND ({sample:UInt64} = 0 OR cityHash64(id) % every = 0)
        ORDER BY kafka_partition, kafka_offset LIMIT 1 BY id
    ) AS s
    LEFT JOIN
    (
        SELECT player_id, revision, as_of, kafka_time FROM features
        WHERE player_id IN (SELECT player_id FROM score_events WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')} AND feature_revision > 0
            AND ({sample:UInt64} = 0 OR cityHash64(id) % every = 0))
    ) AS f ON f.player_id = s.player_id
    GROUP BY s.id
)
GROUP BY feature_hash
ORDER BY feature_hash

-- topic: features
-- purpose: One partition of a training set as of a scoring time t0: for every player with a session in the last days the newest features that were known at t0, with the label where it is known.
-- grain: One row per player, in order of player_id.
-- units: As in features. churned is whether no session began in [label_from, label_to), NULL while that is not known.
-- maturity: Final once churned is not NULL, but for events that come later than the allowed lateness.
-- param at_ms Int64: scoring time t0, Unix ms.
-- param partition UInt32 = 0: Kafka partition; a player's features and events stand in the same one.
-- param active_ms Int64 = 2419200000: how long before t0 the player must have had a session.
-- param ttl_ms Int64 = 2419200000: how old as_of may be at t0.
-- param label_from_ms Int64 = 0: start of the label's window, t0 and the embargo.
-- param label_to_ms Int64 = 0: its end.
-- param labelled Bool = 0: whether the watermark has passed label_to by the allowed lateness.
-- param event Bool = 0: take event time for the time at which something was known, for replayed history; otherwise Kafka's time of a revision and the ingest time of a session count.
-- param creator String = : creator whose sessions make the population; empty is any.
-- param drop String = : drop in which the player must not be seen; empty is any session.
SELECT
    f.* EXCEPT (inserted_at),
    CAST(if({labelled:Bool}, player_id NOT IN (
        SELECT player_id FROM player_events
        WHERE kafka_partition = {partition:UInt32} AND type = 'session_start' AND NOT synthetic AND NOT quarantined
          AND at >= fromUnixTimestamp64Milli({label_from_ms:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({label_to_ms:Int64}, 'UTC')
          AND ({drop:String} = '' OR drop_id = {drop:String})
    ), NULL), 'Nullable(Bool)') AS churned
FROM features AS f
WHERE kafka_partition = {partition:UInt32}
  AND as_of <= fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC')
  AND as_of >= fromUnixTimestamp64Milli({at_ms:Int64} - {ttl_ms:Int64}, 'UTC')
  AND ({event:Bool} OR kafka_time <= fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC'))
  AND player_id IN (
        SELECT player_id FROM player_events
        WHERE kafka_partition = {partition:UInt32} AND type = 'session_start' AND NOT synthetic AND NOT quarantined
          AND at >= fromUnixTimestamp64Milli({at_ms:Int64} - {active_ms:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC')
          AND ({event:Bool} OR ingest_time <= fromUnixTimestamp64Milli({at_ms:Int64}, 'UTC'))
          AND ({creator:String} = '' OR creator_id = {creator:String})
    )
ORDER BY player_id, revision DESC, kafka_time DESC
LIMIT 1 BY player_id

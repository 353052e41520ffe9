-- topic: features
-- purpose: How complete the newest features of players are: those that may have no value.
-- grain: One row per feature that may be missing.
-- units: missing is the share of players without a value, of those in the first 20,000 revisions by pseudonym, which is a hash. A player without a request in the window has no latency, one with a single session no gap: a jump says more than the level.
-- maturity: As of now.
-- param revisions UInt64 = 20000: rows that are looked at.
SELECT feature, avg(absent) AS missing, count() AS players
FROM
(
    SELECT pair.1 AS feature, pair.2 AS absent
    FROM
    (
        SELECT latency_mean_ms_1h, latency_mean_ms_24h, latency_mean_ms_7d, latency_mean_ms_28d, latency_max_ms_1h, latency_max_ms_24h, latency_max_ms_7d, latency_max_ms_28d, gap_mean_s, gap_var_s2
        FROM (SELECT player_id, revision, latency_mean_ms_1h, latency_mean_ms_24h, latency_mean_ms_7d, latency_mean_ms_28d, latency_max_ms_1h, latency_max_ms_24h, latency_max_ms_7d, latency_max_ms_28d, gap_mean_s, gap_var_s2 FROM features ORDER BY player_id, revision LIMIT {revisions:UInt64})
        ORDER BY revision DESC LIMIT 1 BY player_id
    )
    ARRAY JOIN [('latency_mean_ms_1h', latency_mean_ms_1h IS NULL), ('latency_mean_ms_24h', latency_mean_ms_24h IS NULL), ('latency_mean_ms_7d', latency_mean_ms_7d IS NULL), ('latency_mean_ms_28d', latency_mean_ms_28d IS NULL), ('latency_max_ms_1h', latency_max_ms_1h IS NULL), ('latency_max_ms_24h', latency_max_ms_24h IS NULL), ('latency_max_ms_7d', latency_max_ms_7d IS NULL), ('latency_max_ms_28d', latency_max_ms_28d IS NULL), ('gap_mean_s', gap_mean_s IS NULL), ('gap_var_s2', gap_var_s2 IS NULL)] AS pair
)
GROUP BY feature
ORDER BY missing DESC, feature

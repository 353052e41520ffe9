-- Facts that retention and uplift are measured on. They outlive the raw rows: a horizon of 28 days ends long after the drop.

-- ReplacingMergeTree: a session_start that comes twice leaves one row. No DEFAULT and no clock, so a rebuilt row replaces itself.
CREATE TABLE IF NOT EXISTS player_sessions
(
    player_id  String COMMENT 'player',
    started    DateTime64(3, 'UTC') COMMENT 'effective time of session_start',
    session_id String COMMENT 'session',
    drop_id    LowCardinality(String) COMMENT 'drop that the session began in; empty: none',
    creator_id LowCardinality(String) COMMENT 'creator whose content the session began with'
)
ENGINE = ReplacingMergeTree
ORDER BY (player_id, started, session_id)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Session starts. Grain: player, started, session; read with FINAL. Units: times UTC. Maturity: as of now; late events add rows.';

CREATE MATERIALIZED VIEW IF NOT EXISTS player_sessions_from_player_events TO player_sessions AS
SELECT player_id, at AS started, session_id, drop_id, creator_id
FROM player_events
WHERE type = 'session_start' AND player_id != '' AND NOT synthetic AND NOT quarantined
COMMENT 'Fills player_sessions. Grain: as in player_sessions. Units: as in player_sessions. Maturity: as in player_sessions.';

-- A minimum of (time, variant): the first assignment that was rendered, whatever the order of arrival.
CREATE TABLE IF NOT EXISTS first_exposures
(
    drop_id       LowCardinality(String) COMMENT 'drop',
    experiment_id LowCardinality(String) COMMENT 'experiment of the drop',
    player_id     String COMMENT 'player',
    first         SimpleAggregateFunction(min, Tuple(at DateTime64(3, 'UTC'), variant String)) COMMENT 'first exposure and its variant'
)
ENGINE = AggregatingMergeTree
ORDER BY (drop_id, experiment_id, player_id)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'First exposure of each player to each experiment. Grain: drop, experiment, player; aggregate with min. Units: times UTC. Maturity: as of now; a late event may bring an earlier first one.';

CREATE MATERIALIZED VIEW IF NOT EXISTS first_exposures_from_player_events TO first_exposures AS
SELECT drop_id, experiment_id, player_id, min((at, toString(variant))) AS first
FROM player_events
WHERE type = 'cta_exposure' AND experiment_id != '' AND player_id != '' AND NOT synthetic AND NOT quarantined
GROUP BY drop_id, experiment_id, player_id
COMMENT 'Fills first_exposures. Grain: drop, experiment and player. Units: as in first_exposures. Maturity: as in first_exposures.';

-- Derived tables: what the processors publish.

-- Feature history: every revision of a player, by window (1 h, 24 h, 7 d, 28 d before as_of). A window without a latency
-- sample, and a gap of fewer than two sessions, is NULL.
CREATE TABLE IF NOT EXISTS features
(
    player_id  String,
    revision   UInt64,
    as_of      DateTime64(3, 'UTC'),
    watermark  Nullable(DateTime64(3, 'UTC')),
    maturity   LowCardinality(String),

    sessions_1h UInt32,
    sessions_24h UInt32,
    sessions_7d UInt32,
    sessions_28d UInt32,
    active_days_1h UInt32,
    active_days_24h UInt32,
    active_days_7d UInt32,
    active_days_28d UInt32,
    playtime_s_1h UInt32,
    playtime_s_24h UInt32,
    playtime_s_7d UInt32,
    playtime_s_28d UInt32,
    landings_1h UInt32,
    landings_24h UInt32,
    landings_7d UInt32,
    landings_28d UInt32,
    impressions_1h UInt32,
    impressions_24h UInt32,
    impressions_7d UInt32,
    impressions_28d UInt32,
    clicks_1h UInt32,
    clicks_24h UInt32,
    clicks_7d UInt32,
    clicks_28d UInt32,
    checkouts_1h UInt32,
    checkouts_24h UInt32,
    checkouts_7d UInt32,
    checkouts_28d UInt32,
    net_spend_1h Int64,
    net_spend_24h Int64,
    net_spend_7d Int64,
    net_spend_28d Int64,
    creators_1h UInt32,
    creators_24h UInt32,
    creators_7d UInt32,
    creators_28d UInt32,
    drops_1h UInt32,
    drops_24h UInt32,
    drops_7d UInt32,
    drops_28d UInt32,
    latency_mean_ms_1h Nullable(Float64),
    latency_mean_ms_24h Nullable(Float64),
    latency_mean_ms_7d Nullable(Float64),
    latency_mean_ms_28d Nullable(Float64),
    latency_max_ms_1h Nullable(Float64),
    latency_max_ms_24h Nullable(Float64),
    latency_max_ms_7d Nullable(Float64),
    latency_max_ms_28d Nullable(Float64),

    spend_currency    LowCardinality(String),
    foreign_checkouts UInt32,
    first_activity    DateTime64(3, 'UTC'),
    last_activity     DateTime64(3, 'UTC'),
    sessions_total    UInt32,
    gap_mean_s        Nullable(Float64),
    gap_var_s2        Nullable(Float64),

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (player_id, revision)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Feature history of players. Grain: player and revision. Units: net_spend in minor units of spend_currency, playtime in s, latency in ms, gaps in s; the suffix is the window before as_of. Maturity: column maturity. features_latest holds the newest revisions.';

CREATE VIEW IF NOT EXISTS features_latest AS
SELECT * FROM features ORDER BY player_id, revision DESC LIMIT 1 BY player_id
COMMENT 'Newest features of every player. Grain: player. Units: as in features. Maturity: column maturity.';

-- Conversion velocity: mergeable partials. Newer revisions of (drop_id, pane_start, pop, partition) replace older ones: read
-- velocity_latest, never this table. Sums over partitions, POPs and panes are exact.
CREATE TABLE IF NOT EXISTS velocity
(
    drop_id    LowCardinality(String),
    pop        LowCardinality(String),
    partition  UInt32,
    pane_start DateTime64(3, 'UTC'),
    pane_ms    UInt32,
    revision   UInt64,
    watermark  Nullable(DateTime64(3, 'UTC')),
    maturity   LowCardinality(String),

    landing_events    UInt32,
    impression_events UInt32,
    click_events      UInt32,
    started_events    UInt32,
    completed_events  UInt32,
    landing_players    UInt32,
    impression_players UInt32,
    click_players      UInt32,
    started_players    UInt32,
    completed_players  UInt32,
    funnel_gap  UInt32,
    failed      UInt32,
    refunded    UInt32,
    chargeback  UInt32,
    conversions UInt32,
    ttc_panes   Array(UInt32),
    ttc_count   Array(UInt32),
    money_currency    Array(String),
    money_gross       Array(Int64),
    money_refunds     Array(Int64),
    money_chargebacks Array(Int64),

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (drop_id, pane_start, pop, partition)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
COMMENT 'Mergeable partials of conversion velocity, funnel and revenue; read velocity_latest. Grain: drop, POP, pane and partition of the processors, once merged. Units: counts; money in minor units of its currency. Maturity: column maturity; newer revisions replace older ones.';

CREATE VIEW IF NOT EXISTS velocity_latest AS SELECT * FROM velocity FINAL
COMMENT 'Newest partials of conversion velocity, funnel and revenue. Grain: drop, POP, pane and partition of the processors; sums over them are exact. Units: counts; money in minor units of its currency. Maturity: column maturity.';

-- Records that could not be counted, and valid ones that came past the allowed lateness. topic, partition and offset say
-- where the record stood; the kafka_ columns where its dead letter or late record stands.
CREATE TABLE IF NOT EXISTS dead_letters
(
    topic     LowCardinality(String),
    partition UInt32,
    offset    UInt64,
    timestamp DateTime64(3, 'UTC'),
    class     LowCardinality(String),
    field     LowCardinality(String),
    key       String,
    value     String,

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (topic, class, partition, offset)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Records that could not be counted. Grain: one refused record. Units: topic, partition and offset say where it stood. Maturity: final; a replayed record has a row of its own if it is refused again.';

CREATE TABLE IF NOT EXISTS late_events
(
    topic      LowCardinality(String),
    partition  UInt32,
    offset     UInt64,
    timestamp  DateTime64(3, 'UTC'),
    event_time DateTime64(3, 'UTC'),
    late_by_ms Int64,
    drop_id    LowCardinality(String),
    value      String,

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (drop_id, topic, partition, offset)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Valid records that came past the allowed lateness. Grain: one record. Units: late_by_ms in milliseconds. Maturity: final.';

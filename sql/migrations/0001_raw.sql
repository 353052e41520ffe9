-- Raw tables: every decodable record of the raw topics, duplicates, late and synthetic ones included.
--
-- What is atomic: one batch = one contiguous offset range of one topic-partition = one block = one part. Hence
-- PARTITION BY kafka_partition: it is the same for all rows of a batch and for every repetition of it. Event time would
-- not do (replayed years would scatter one batch over dozens of parts), and neither would an arrival time (a batch
-- repeated after midnight would land in another partition, where its deduplication token is unknown).
--
-- TTL counts from the arrival in ClickHouse: replayed history is old by event time on the day it arrives.
--
-- at is the effective time that facts and windows use: event_time, or ingest_time where the client's clock runs more
-- than 60 s ahead. quarantined marks clocks further than 7 days off; no fact counts those rows.

CREATE TABLE IF NOT EXISTS player_events
(
    id             UUID,
    type           LowCardinality(String),
    event_time     DateTime64(3, 'UTC'),
    ingest_time    DateTime64(3, 'UTC'),
    player_id      String,
    session_id     String,
    drop_id        LowCardinality(String),
    creator_id     LowCardinality(String),
    region         LowCardinality(String),
    pop            LowCardinality(String),
    language       LowCardinality(String),
    device         LowCardinality(String),
    consent        UInt8,
    sample_rate    Float64,
    synthetic      Bool,
    schema_version UInt16,

    heartbeat_ms  Int64,
    sku           LowCardinality(String),
    experiment_id LowCardinality(String),
    variant       LowCardinality(String),

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    at              DateTime64(3, 'UTC') MATERIALIZED if(event_time > ingest_time + INTERVAL 60 SECOND, ingest_time, event_time),
    quarantined     Bool MATERIALIZED abs(toUnixTimestamp64Milli(event_time) - toUnixTimestamp64Milli(ingest_time)) > 604800000,
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (drop_id, type, event_time)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What players did: sessions, landing views, impressions, clicks, exposures. Grain: one record of topic player, repeated, late and synthetic ones included. Units: times in UTC. Maturity: final; a resent event is a further row with the same id.';

CREATE TABLE IF NOT EXISTS latency_events
(
    id             UUID,
    type           LowCardinality(String),
    event_time     DateTime64(3, 'UTC'),
    ingest_time    DateTime64(3, 'UTC'),
    player_id      String,
    session_id     String,
    drop_id        LowCardinality(String),
    creator_id     LowCardinality(String),
    region         LowCardinality(String),
    pop            LowCardinality(String),
    language       LowCardinality(String),
    device         LowCardinality(String),
    consent        UInt8,
    sample_rate    Float64,
    synthetic      Bool,
    schema_version UInt16,

    request      LowCardinality(String),
    ms           Float64,
    cache        LowCardinality(String),
    cpu_ms       Float64,
    egress_bytes Int64,

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    at              DateTime64(3, 'UTC') MATERIALIZED if(event_time > ingest_time + INTERVAL 60 SECOND, ingest_time, event_time),
    quarantined     Bool MATERIALIZED abs(toUnixTimestamp64Milli(event_time) - toUnixTimestamp64Milli(ingest_time)) > 604800000,
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (drop_id, pop, event_time)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Requests that the edge answered. Grain: one record of topic latency, repeated, late and synthetic ones included. Units: ms, cpu_ms in milliseconds, egress_bytes in bytes. Maturity: final; a resent event is a further row with the same id.';

-- Money is in minor units of currency. Rows are kept for good: they are what revenue is recomputed from.
CREATE TABLE IF NOT EXISTS checkout_events
(
    id             UUID,
    type           LowCardinality(String),
    event_time     DateTime64(3, 'UTC'),
    ingest_time    DateTime64(3, 'UTC'),
    player_id      String,
    session_id     String,
    drop_id        LowCardinality(String),
    creator_id     LowCardinality(String),
    region         LowCardinality(String),
    pop            LowCardinality(String),
    language       LowCardinality(String),
    device         LowCardinality(String),
    consent        UInt8,
    sample_rate    Float64,
    synthetic      Bool,
    schema_version UInt16,

    checkout_id   String,
    amount        Int64,
    currency      LowCardinality(String),
    sku           LowCardinality(String),
    quantity      UInt32,
    split_version UInt32,
    original_time DateTime64(3, 'UTC') COMMENT 'purchase time of a refund or chargeback; 1970-01-01 when not given',
    channel       LowCardinality(String),
    reason        LowCardinality(String),
    seq           UInt32,
    tax           Int64,
    fee           Int64,
    partner       LowCardinality(String),
    promised_by   DateTime64(3, 'UTC'),

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    at              DateTime64(3, 'UTC') MATERIALIZED if(event_time > ingest_time + INTERVAL 60 SECOND, ingest_time, event_time),
    quarantined     Bool MATERIALIZED abs(toUnixTimestamp64Milli(event_time) - toUnixTimestamp64Milli(ingest_time)) > 604800000,
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (drop_id, type, event_time)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Checkouts from start to settlement. Grain: one record of topic checkout, repeated, late and synthetic ones included; purchases counts each once. Units: amount, tax and fee in minor units of currency. Maturity: final, kept for good.';

CREATE TABLE IF NOT EXISTS subtitle_events
(
    id             UUID,
    type           LowCardinality(String),
    event_time     DateTime64(3, 'UTC'),
    ingest_time    DateTime64(3, 'UTC'),
    player_id      String,
    session_id     String,
    drop_id        LowCardinality(String),
    creator_id     LowCardinality(String),
    region         LowCardinality(String),
    pop            LowCardinality(String),
    language       LowCardinality(String),
    device         LowCardinality(String),
    consent        UInt8,
    sample_rate    Float64,
    synthetic      Bool,
    schema_version UInt16,

    stream_id       LowCardinality(String),
    cue_id          UInt64,
    speech_start_ms Int64,
    display_ms      Int64,
    on_screen_ms    Int64,
    graphemes       UInt32,
    words           UInt32,
    translation_ms  Int64,
    source_language LowCardinality(String),
    target_language LowCardinality(String),
    variant         LowCardinality(String),
    missing         Bool,

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    at              DateTime64(3, 'UTC') MATERIALIZED if(event_time > ingest_time + INTERVAL 60 SECOND, ingest_time, event_time),
    quarantined     Bool MATERIALIZED abs(toUnixTimestamp64Milli(event_time) - toUnixTimestamp64Milli(ingest_time)) > 604800000,
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (drop_id, target_language, event_time)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Displayed and missing cues. Grain: one record of topic subtitle, repeated, late and synthetic ones included. Units: columns ending in _ms in milliseconds on the media timeline, translation_ms of wall clock. Maturity: final; a resent event is a further row with the same id.';

-- The catalogue. The newest version of a drop replaces the others: read it with FINAL. Tables whose rows replace each other
-- need no deduplication window: a repeated batch replaces itself.
CREATE TABLE IF NOT EXISTS drops
(
    id             UUID,
    type           LowCardinality(String),
    event_time     DateTime64(3, 'UTC'),
    ingest_time    DateTime64(3, 'UTC'),
    player_id      String,
    session_id     String,
    drop_id        LowCardinality(String),
    creator_id     LowCardinality(String),
    region         LowCardinality(String),
    pop            LowCardinality(String),
    language       LowCardinality(String),
    device         LowCardinality(String),
    consent        UInt8,
    sample_rate    Float64,
    synthetic      Bool,
    schema_version UInt16,

    name              String,
    version           UInt32,
    starts            DateTime64(3, 'UTC'),
    ends              DateTime64(3, 'UTC'),
    split_version     Array(UInt32),
    split_participant Array(Array(String)),
    split_bps         Array(Array(UInt32)),
    item_sku          Array(String),
    item_price        Array(Int64),
    item_currency     Array(String),
    item_inventory    Array(UInt64),
    budget            Int64,
    budget_currency   LowCardinality(String),
    experiment_id     Array(String),
    experiment_salt   Array(String),
    experiment_traffic_bps  Array(UInt32),
    experiment_variant      Array(Array(String)),
    experiment_variant_bps  Array(Array(UInt32)),
    latency_budget_ms Int64,
    experiment_language     Array(String),
    experiment_holdout      Array(String),
    experiment_effect_sd    Array(Float64),
    experiment_layer        Array(String),
    cue_latency_ms    Int64,
    cue_cost          Int64,
    announced         DateTime64(3, 'UTC'),
    followers         UInt64,
    split_basis       LowCardinality(String),
    forecast_age_ms   Array(Int64),
    forecast_bps      Array(UInt32),

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY drop_id
COMMENT 'The drop catalogue. Grain: one row per drop once merged; read it with FINAL, the highest version wins. Units: item_price in minor units of item_currency, budget and cue_cost in nano-units of budget_currency, shares in basis points. Maturity: as of the newest version.';

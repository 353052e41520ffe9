-- Models at the edge: what they answered, what became of it, which versions there are and which answered when.

CREATE TABLE IF NOT EXISTS score_events
(
    id               UUID COMMENT 'the same for a resent event',
    type             LowCardinality(String) COMMENT 'answered',
    event_time       DateTime64(3, 'UTC') COMMENT 'scoring time t0',
    ingest_time      DateTime64(3, 'UTC') COMMENT 'when the pipeline took it in',
    player_id        String COMMENT 'pseudonym',
    session_id       String COMMENT 'session',
    drop_id          LowCardinality(String) COMMENT 'drop; empty outside one',
    creator_id       LowCardinality(String) COMMENT 'creator',
    region           LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2',
    pop              LowCardinality(String) COMMENT 'edge location that answered',
    language         LowCardinality(String) COMMENT 'BCP 47',
    device           LowCardinality(String) COMMENT 'phone, tablet, desktop, console, tv',
    consent          UInt8 COMMENT 'bit mask: 1 analytics, 2 personalisation, 4 marketing',
    sample_rate      Float64 COMMENT 'share of such events that were sent',
    synthetic        Bool COMMENT 'probes and warm-up traffic',
    schema_version   UInt16 COMMENT 'of the sender',

    model            LowCardinality(String) COMMENT 'model that was asked',
    model_version    LowCardinality(String) COMMENT 'version that answered; empty on a degraded answer',
    feature_hash     LowCardinality(String) COMMENT 'hash of the feature set',
    feature_revision UInt64 COMMENT 'revision of the player\'s features; 0 for features that the request brought',
    feature_as_of    DateTime64(3, 'UTC') COMMENT 'event time of those features',
    vector           Array(Float64) COMMENT 'feature vector in the set\'s order; -1 is missing',
    p                Float64 COMMENT 'calibrated probability that was answered',
    shadow_version   LowCardinality(String) COMMENT 'version that scored unseen; empty for none',
    shadow_p         Float64 COMMENT 'its probability; nothing where shadow_version is empty',
    champion_us      Float64 COMMENT 'time to score, microseconds',
    shadow_us        Float64 COMMENT 'time of the shadow to score, microseconds',
    degraded         LowCardinality(String) COMMENT 'why no model answered; empty where one did',
    offer            LowCardinality(String) COMMENT 'offer that was made, as a sku; empty for none',
    discount         UInt32 COMMENT 'of the price, basis points',
    propensity       Float64 COMMENT 'probability with which this choice was drawn; 0 where nothing was to be chosen',
    holdout          Bool COMMENT 'player who permanently gets no offer',
    eligible         Bool COMMENT 'player whom the offers were for, held out or not',
    prefetch         UInt32 COMMENT 'assets named for prefetching',

    kafka_partition  UInt32 COMMENT 'position in Kafka',
    kafka_offset     UInt64 COMMENT 'position in Kafka',
    kafka_time       DateTime64(3, 'UTC') COMMENT 'the broker\'s time',
    inserted_at      DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when it came in',
    at               DateTime64(3, 'UTC') MATERIALIZED if(event_time > ingest_time + INTERVAL 60 SECOND, ingest_time, event_time) COMMENT 'effective time',
    quarantined      Bool MATERIALIZED abs(toUnixTimestamp64Milli(event_time) - toUnixTimestamp64Milli(ingest_time)) > 604800000 COMMENT 'its clock is further than 7 days off',
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (model, event_time, player_id)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Answers of models at the edge. Grain: one record of topic score, resent ones included. Units: probabilities, microseconds. Maturity: final; the outcome is in examples.';

CREATE TABLE IF NOT EXISTS examples
(
    model            LowCardinality(String) COMMENT 'model',
    model_version    LowCardinality(String) COMMENT 'version that answered; empty on a degraded answer',
    player_id        String COMMENT 'pseudonym',
    scored_at        DateTime64(3, 'UTC') COMMENT 'scoring time t0',
    drop_id          LowCardinality(String) COMMENT 'drop of the score; empty outside one',
    partition        UInt32 COMMENT 'partition of the processors',
    watermark        DateTime64(3, 'UTC') COMMENT 'of the partition, when the label became known',
    churned          Bool COMMENT 'label: no session began in [label_from, label_to)',
    label_from       DateTime64(3, 'UTC') COMMENT 't0 and the embargo',
    label_to         DateTime64(3, 'UTC') COMMENT 'end of the label\'s window',
    feature_hash     LowCardinality(String) COMMENT 'hash of the feature set',
    vector           Array(Float64) COMMENT 'feature vector as scored; -1 is missing',
    p                Float64 COMMENT 'probability that was answered',
    shadow_version   LowCardinality(String) COMMENT 'version that scored unseen; empty for none',
    shadow_p         Float64 COMMENT 'its probability',
    offer            LowCardinality(String) COMMENT 'offer that was made; empty for none',
    discount         UInt32 COMMENT 'basis points',
    propensity       Float64 COMMENT 'probability with which this choice was drawn',
    holdout          Bool COMMENT 'player who permanently gets no offer',
    eligible         Bool COMMENT 'player whom the offers were for',
    converted        Bool COMMENT 'a checkout completed within the outcome window',
    net              Int64 COMMENT 'what those checkouts came to less returns, minor units',
    currency         LowCardinality(String) COMMENT 'ISO 4217 code of net',

    kafka_partition  UInt32 COMMENT 'position in Kafka',
    kafka_offset     UInt64 COMMENT 'position in Kafka',
    kafka_time       DateTime64(3, 'UTC') COMMENT 'the broker\'s time',
    inserted_at      DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when it came in',
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (model, scored_at, player_id)
TTL toDateTime(inserted_at) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Scores joined to what became of the player. Grain: model, player and scoring time. Units: net in minor units. Maturity: final, published once the label is known.';

CREATE TABLE IF NOT EXISTS models
(
    name             LowCardinality(String) COMMENT 'model',
    version          String COMMENT 'its version',
    kind             LowCardinality(String) COMMENT 'how it was made: logistic, ftrl, lightgbm, xgboost',
    published_at     DateTime64(3, 'UTC') COMMENT 'when',
    feature_hash     LowCardinality(String) COMMENT 'hash of the feature set it was trained on',
    checksum         String COMMENT 'SHA-256 of the artefact',
    artefact         String COMMENT 'the artefact: one JSON document',

    kafka_partition  UInt32 COMMENT 'position in Kafka',
    kafka_offset     UInt64 COMMENT 'position in Kafka',
    kafka_time       DateTime64(3, 'UTC') COMMENT 'the broker\'s time',
    inserted_at      DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when it came in',
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (name, version)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Published models. Grain: name and version; publishing again adds a row with the same checksum. Units: none. Maturity: final.';

CREATE TABLE IF NOT EXISTS rollouts
(
    name             LowCardinality(String) COMMENT 'model',
    champion         String COMMENT 'version that answers',
    shadow           String COMMENT 'version that scores unseen',
    previous         String COMMENT 'champion before',
    action           LowCardinality(String) COMMENT 'promote, shadow or rollback',
    at               DateTime64(3, 'UTC') COMMENT 'when',
    reason           String COMMENT 'why',

    kafka_partition  UInt32 COMMENT 'position in Kafka',
    kafka_offset     UInt64 COMMENT 'position in Kafka',
    kafka_time       DateTime64(3, 'UTC') COMMENT 'the broker\'s time',
    inserted_at      DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when it came in',
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (name, at)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Which versions answer, as decided. Grain: one decision about one model. Units: none. Maturity: final; the newest rules.';

CREATE TABLE IF NOT EXISTS lifetimes
(
    model            LowCardinality(String) COMMENT 'bgbb or bgnbd',
    fit              LowCardinality(String) COMMENT 'the fit that predicted',
    player_id        String COMMENT 'pseudonym',
    creator_id       LowCardinality(String) COMMENT 'creator whose purchases and drops alone count; empty for all',
    currency         LowCardinality(String) COMMENT 'ISO 4217 code of mean_spend and value',
    revision         UInt64 COMMENT 'newer ones replace older ones',
    as_of            DateTime64(3, 'UTC') COMMENT 'up to when purchases were seen',
    first_purchase   DateTime64(3, 'UTC') COMMENT 'dates the cohort',
    repeats          UInt32 COMMENT 'x: purchases after the first',
    last_repeat      Float64 COMMENT 't_x: weeks (bgnbd) or eligible drops (bgbb) from the first purchase to the last',
    age              Float64 COMMENT 'T or n: weeks or eligible drops since the first purchase',
    horizon          Float64 COMMENT 'weeks or eligible drops ahead',
    p_alive          Float64 COMMENT 'probability of still being a customer; 1 by construction for bgnbd without a repeat',
    purchases        Float64 COMMENT 'expected within the horizon',
    mean_spend       Float64 COMMENT 'expected per purchase, minor units',
    value            Float64 COMMENT 'expected and discounted, minor units',

    kafka_partition  UInt32 COMMENT 'position in Kafka',
    kafka_offset     UInt64 COMMENT 'position in Kafka',
    kafka_time       DateTime64(3, 'UTC') COMMENT 'the broker\'s time',
    inserted_at      DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when it came in',
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (model, player_id, currency, creator_id)
COMMENT 'Predicted lifetime values: read lifetimes_latest, never this table. Grain: model, player, currency, creator. Units: minor units; weeks or eligible drops. Maturity: a prediction, replaced by the next fit.';

CREATE VIEW IF NOT EXISTS lifetimes_latest AS SELECT * FROM lifetimes FINAL
COMMENT 'Newest prediction of every player. Grain: model, player, currency, creator. Units: minor units; weeks or eligible drops. Maturity: a prediction, no guarantee for a single player.';

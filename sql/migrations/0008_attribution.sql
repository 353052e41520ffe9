-- Revenue against landing latency, and latency sketches: mergeable partials. Newer revisions replace older ones: read the
-- views, never the tables. Sums over partitions and strata are exact.

CREATE TABLE IF NOT EXISTS attribution
(
    drop_id     LowCardinality(String) COMMENT 'drop',
    creator_id  LowCardinality(String) COMMENT 'creator of the drop',
    pop         LowCardinality(String) COMMENT 'edge location of the first landing view',
    device      LowCardinality(String) COMMENT 'class of device of the first landing view',
    language    LowCardinality(String) COMMENT 'language of the first landing view',
    age_from_ms Int64 COMMENT 'start of the bin of the drop''s age that the first landing view lies in; -1 before the start',
    age_to_ms   Int64 COMMENT 'its end, exclusive',
    partition   UInt32 COMMENT 'of the processors'' input',
    revision    UInt64 COMMENT 'newer ones replace older ones',
    watermark   Nullable(DateTime64(3, 'UTC')) COMMENT 'of the partition when published',
    maturity    LowCardinality(String) COMMENT 'provisional or final; refunds still lower the money until final',
    closed      Bool COMMENT 'viewers and conversions cannot change any more',
    from        DateTime64(3, 'UTC') COMMENT 'start of the drop',
    to          DateTime64(3, 'UTC') COMMENT 'end of the drop',
    budget_ms   Int64 COMMENT 'latency budget of the drop; 0: the default',
    sample_rate Float64 COMMENT 'lowest sampling rate of the landing requests',

    viewers     Array(UInt32) COMMENT 'players by bucket of their first landing request; edges 0, 50, 100, 150, 200, 300, 400, 500, 800, 1200, 2000, 5000 ms',
    conversions Array(UInt32) COMMENT 'of them, those who completed a checkout before the drop''s end',
    latency_us  Array(Int64) COMMENT 'sum of their latencies, microseconds',
    unmeasured  UInt32 COMMENT 'viewers without a landing request near their first landing view',
    unmeasured_conversions UInt32 COMMENT 'of them, those who converted',
    money_currency Array(String) COMMENT 'currencies of money_net',
    money_net      Array(Array(Int64)) COMMENT 'completed checkouts less refunds and chargebacks of measured viewers, by currency and bucket, minor units',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (drop_id, pop, device, language, age_from_ms, partition)
TTL toDateTime(inserted_at) + INTERVAL 400 DAY
COMMENT 'Conversion and revenue against landing latency, partials. Grain: drop, POP, device, language, age bin, partition, revision. Units: by column. Maturity: columns closed and maturity. Read attribution_latest.';

CREATE VIEW IF NOT EXISTS attribution_latest AS SELECT * FROM attribution FINAL
COMMENT 'Newest partials of conversion and revenue against landing latency: sums over them are exact. Grain: drop, POP, device, language, age bin, partition. Units: by column of attribution. Maturity: columns closed and maturity.';

CREATE TABLE IF NOT EXISTS latency_sketches
(
    drop_id     LowCardinality(String) COMMENT 'drop',
    pop         LowCardinality(String) COMMENT 'edge location',
    request     LowCardinality(String) COMMENT 'what was fetched',
    partition   UInt32 COMMENT 'of the processors'' input',
    pane_start  DateTime64(3, 'UTC') COMMENT 'start of the pane, event time',
    pane_ms     UInt32 COMMENT 'its length',
    revision    UInt64 COMMENT 'newer ones replace older ones',
    watermark   Nullable(DateTime64(3, 'UTC')) COMMENT 'of the partition when published',
    maturity    LowCardinality(String) COMMENT 'provisional or final',
    sample_rate Float64 COMMENT 'lowest sampling rate of the events',
    accuracy    Float64 COMMENT 'relative error of every quantile; only equal ones merge',
    samples     UInt64 COMMENT 'events, unweighted',
    zero        UInt64 COMMENT 'weight of samples of 0 ms, thousandths of a request',
    bin_index   Array(Int32) COMMENT 'bins [g^i, g^(i+1)) ms with g = (1 + accuracy) / (1 - accuracy), of value g^i (1 + accuracy)',
    bin_weight  Array(UInt64) COMMENT 'their weights, thousandths of a request',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (drop_id, request, pane_start, pop, partition)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
COMMENT 'DDSketches of edge latency, partials: sumMap(bin_index, bin_weight) merges them over panes, POPs and partitions. Grain: drop, POP, request, pane, partition, revision. Units: by column. Maturity: column maturity. Read latency_sketches_latest.';

CREATE VIEW IF NOT EXISTS latency_sketches_latest AS SELECT * FROM latency_sketches FINAL
COMMENT 'Newest DDSketches of edge latency. Grain: drop, POP, request, pane, partition. Units: by column of latency_sketches. Maturity: column maturity.';

-- Edge cost: what drops, and traffic outside them, used at the edge, and what that cost by the price list of the time. Money is
-- Int64 nano-units. No TTL: it is what a drop's return is computed from, and prices change.

CREATE TABLE IF NOT EXISTS edge_cost
(
    drop_id        LowCardinality(String) COMMENT 'drop; empty: traffic outside drops',
    pop            LowCardinality(String) COMMENT 'edge location; empty where none is known',
    creator_id     LowCardinality(String) COMMENT 'creator whose content was served; empty where none is known',
    partition      UInt32 COMMENT 'of the processors',
    pane_start     DateTime64(3, 'UTC') COMMENT 'start of the pane, event time',
    pane_ms        UInt32 COMMENT 'length of the pane',
    synthetic      Bool COMMENT 'probes and warm-up traffic only; they are billed, and no player made them',
    revision       UInt64 COMMENT 'newer ones replace older ones',
    watermark      Nullable(DateTime64(3, 'UTC')) COMMENT 'of the partition when published',
    maturity       LowCardinality(String) COMMENT 'provisional or final',
    newest         DateTime64(3, 'UTC') COMMENT 'event time of the newest event counted',
    samples        UInt64 COMMENT 'latency events behind it',
    sample_rate    Float64 COMMENT 'lowest sampling rate among them',
    requests_micro Int64 COMMENT 'requests in millionths: events weigh 1/sample_rate',
    cpu_us         Int64 COMMENT 'edge compute in microseconds',
    egress_bytes   Int64 COMMENT 'bytes that left the edge',
    conversions    UInt32 COMMENT 'players'' first completed checkout of the drop',
    currency       LowCardinality(String) COMMENT 'of cost; empty without a price list',
    prices         LowCardinality(String) COMMENT 'price list, a hash of it; empty without one',
    cost           Nullable(Int64) COMMENT 'nano-units of currency; NULL without a price list',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (drop_id, pane_start, pop, creator_id, synthetic, prices, partition)
COMMENT 'Edge cost partials; older revisions may be there, read edge_cost_latest. Grain: drop, POP, creator, pane, synthetic, price list, partition. Units: cost in nano-units of currency, the rest by column. Maturity: column maturity.';

CREATE VIEW IF NOT EXISTS edge_cost_latest AS
SELECT * FROM edge_cost FINAL
COMMENT 'Newest revision of every edge cost partial; sums over any of its keys but currency are exact. Grain: drop, POP, creator, pane, synthetic, price list, partition. Units: cost in nano-units of currency, the rest by column. Maturity: column maturity.';

-- Experiments: what each partition counted of each arm.

CREATE TABLE IF NOT EXISTS experiments
(
    drop_id       LowCardinality(String) COMMENT 'drop',
    experiment_id LowCardinality(String) COMMENT 'experiment of the catalogue',
    language      LowCardinality(String) COMMENT 'players\' language (BCP 47); empty where none is known',
    variant       LowCardinality(String) COMMENT 'arm that the players were shown first',
    partition     UInt32 COMMENT 'partition of the processors: players are disjoint over them, so sums are exact',
    revision      UInt64 COMMENT 'newer ones replace older ones',
    watermark     Nullable(DateTime64(3, 'UTC')) COMMENT 'event time up to which the partition was complete',
    maturity        LowCardinality(String) COMMENT 'of exposures and conversions: provisional or final',
    refund_maturity LowCardinality(String) COMMENT 'of refunds, which come later: provisional or final',
    design        LowCardinality(String) COMMENT 'fingerprint of the catalogue\'s experiment at the first exposure',
    changed       Bool COMMENT 'a later exposure met another design',
    exposed       UInt32 COMMENT 'consenting players by their first exposure',
    converted     UInt32 COMMENT 'of them, players with a completed checkout in the drop at or after it',
    refunded      UInt32 COMMENT 'of the converted, players who returned a purchase',
    crossed       UInt32 COMMENT 'of the exposed, players who were shown another variant too',
    misassigned   UInt32 COMMENT 'of the exposed, players whose first variant is not the assigned one',
    sample_rate   Float64 COMMENT 'lowest sampling rate of the exposures',

    kafka_partition UInt32 COMMENT 'position in Kafka',
    kafka_offset    UInt64 COMMENT 'position in Kafka',
    kafka_time      DateTime64(3, 'UTC') COMMENT 'the broker\'s time',
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when it came in',
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (drop_id, experiment_id, language, variant, partition)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
COMMENT 'Arms of experiments, as mergeable partials: read experiments_latest, never this table. Grain: drop, experiment, language, variant, partition. Units: players. Maturity: columns maturity and refund_maturity.';

CREATE VIEW IF NOT EXISTS experiments_latest AS SELECT * FROM experiments FINAL
COMMENT 'Newest partial of every arm. Grain: drop, experiment, language, variant, partition; sums over partitions are exact. Units: players. Maturity: columns maturity and refund_maturity.';

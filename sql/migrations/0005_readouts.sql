-- Read-outs: what the rollup stage says of a whole drop.

CREATE TABLE IF NOT EXISTS estimates
(
    drop_id    LowCardinality(String) COMMENT 'drop',
    creator_id LowCardinality(String) COMMENT 'creator of the drop',
    metric     LowCardinality(String) COMMENT 'what is estimated',
    dimensions Map(LowCardinality(String), String) COMMENT 'of what part of the drop; empty: of all of it',
    revision   UInt64 COMMENT 'newer ones replace older ones',
    as_of      DateTime64(3, 'UTC') COMMENT 'event time up to which every partition that takes part is complete',
    from       DateTime64(3, 'UTC') COMMENT 'start of the window, event time',
    to         DateTime64(3, 'UTC') COMMENT 'end of the window, exclusive',
    maturity   LowCardinality(String) COMMENT 'provisional or final',
    grade      LowCardinality(String) COMMENT 'strength of the evidence: randomized_itt, randomized_cace, quasi_did, matched, descriptive; empty: no effect is claimed',
    label      LowCardinality(String) COMMENT 'words that may go with it',
    enough     Bool COMMENT 'whether the data suffice; if not, value, low, high and p are NULL',
    why        String COMMENT 'what is missing, or what alarms',
    unit       LowCardinality(String) COMMENT 'of value, low and high',
    n          UInt64 COMMENT 'units looked at',
    numerator  UInt64 COMMENT 'units with the outcome',
    value      Nullable(Float64) COMMENT 'the estimate',
    low        Nullable(Float64) COMMENT 'lower end of its interval',
    high       Nullable(Float64) COMMENT 'upper end of its interval',
    confidence Float64 COMMENT 'of the interval',
    p          Nullable(Float64) COMMENT 'p-value against no effect; NULL where none is claimed',
    always_valid Bool COMMENT 'p and interval hold under continuous watching',
    sample_rate  Float64 COMMENT 'lowest sampling rate among the events behind it',
    details    Map(LowCardinality(String), Float64) COMMENT 'further numbers by name',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (drop_id, metric, dimensions, revision)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every revision of every estimate. Grain: drop, metric, dimensions, revision. Units: column unit. Maturity: column maturity. estimates_latest holds the newest ones.';

CREATE VIEW IF NOT EXISTS estimates_latest AS
SELECT * FROM estimates ORDER BY drop_id, metric, mapSort(dimensions), revision DESC LIMIT 1 BY drop_id, metric, mapSort(dimensions)
COMMENT 'Newest revision of every estimate. Grain: drop, metric, dimensions. Units: column unit. Maturity: column maturity.';

CREATE TABLE IF NOT EXISTS decisions
(
    drop_id  LowCardinality(String) COMMENT 'drop',
    topic    LowCardinality(String) COMMENT 'what is decided: pace, budget, replicas, shed, inventory, burn_rate, experiment',
    subject  LowCardinality(String) COMMENT 'part of the drop it is about; empty: the drop',
    at       DateTime64(3, 'UTC') COMMENT 'event time as of which it was made',
    chosen   LowCardinality(String) COMMENT 'the decision',
    previous LowCardinality(String) COMMENT 'what it replaces',
    value    Float64 COMMENT 'of what was chosen, where it is a number',
    reason   String COMMENT 'one sentence for a person',
    inputs   Map(LowCardinality(String), Float64) COMMENT 'the numbers that it rests on',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (drop_id, topic, subject, at)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every live decision. Grain: one decision. Units: by column. Maturity: final; a later decision does not change an earlier one.';

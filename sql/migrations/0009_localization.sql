-- Subtitle objectives (DOMAIN 7): the verdicts on cues.

CREATE TABLE IF NOT EXISTS localization
(
    drop_id       LowCardinality(String) COMMENT 'drop',
    language      LowCardinality(String) COMMENT 'target language (BCP 47)',
    same_language Bool COMMENT 'the target language is the one spoken',
    partition     UInt32 COMMENT 'partition of the subtitle topic that this partial is about',
    pane_start    DateTime64(3, 'UTC') COMMENT 'start of the pane, event time of the earliest record about a cue in any language',
    pane_ms       UInt32 COMMENT 'length of the pane',
    revision      UInt64 COMMENT 'newer ones replace older ones',
    watermark     Nullable(DateTime64(3, 'UTC')) COMMENT 'of the partition when published; NULL before its first',
    maturity      LowCardinality(String) COMMENT 'provisional or final',

    expected   UInt32 COMMENT 'cues of the source track: the valid events',
    good       UInt32 COMMENT 'shown without a fault',
    stretch    UInt32 COMMENT 'good ones that keep the stricter reading speed, too',
    missing    UInt32 COMMENT 'never shown',
    unreported UInt32 COMMENT 'missing ones that nobody reported: found by comparison with the source track',
    slow       UInt32 COMMENT 'shown too late',
    brief      UInt32 COMMENT 'on screen too short',
    long       UInt32 COMMENT 'on screen too long',
    dense      UInt32 COMMENT 'too many characters per second',
    wordy      UInt32 COMMENT 'too many words per minute',
    early      UInt32 COMMENT 'on screen before the words were spoken, beyond the tolerance',
    latency_zero      UInt32 COMMENT 'cues with a latency of 0 ms',
    translated        UInt32 COMMENT 'shown cues with a translation time',
    latency_sum_ms    Int64 COMMENT 'over all expected cues, missing ones at the cap',
    latency_index     Array(Int32) COMMENT 'DDSketch bins of latency in ms, alpha 0.01: bin i stands for pow(1.01 / 0.99, i) * 1.01',
    latency_count     Array(UInt32) COMMENT 'cues in each bin, missing ones at the cap',
    translation_sum_ms Int64 COMMENT 'translation time over translated',
    translation_index Array(Int32) COMMENT 'bins of translation time in ms, like latency_index',
    translation_count Array(UInt32) COMMENT 'cues in each bin',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (drop_id, language, pane_start, partition)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
COMMENT 'Verdicts on subtitle cues, mergeable partials. Grain: drop, language, pane, partition, revision. Units: counts of cues; ms. Maturity: column maturity. Read localization_latest, never this table; sums over partitions and panes are exact.';

CREATE VIEW IF NOT EXISTS localization_latest AS SELECT * FROM localization FINAL
COMMENT 'Newest revision of every partial. Grain: drop, language, pane, partition. Units: counts of cues; ms. Maturity: column maturity.';

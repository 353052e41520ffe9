-- What screens read of raw tables, as aggregates of their own. Like all materialized views these are idempotent: a record that passes
-- through twice leaves the same rows. Each is filled from its base table at once, and so are those of migration 0017.

CREATE TABLE IF NOT EXISTS canary_requests
(
    drop_id     LowCardinality(String) COMMENT 'drop; empty for a probe that names none',
    at          DateTime64(3, 'UTC') COMMENT 'when, effective time',
    pop         LowCardinality(String) COMMENT 'edge location that answered',
    id          UUID COMMENT 'of the event',
    request     LowCardinality(String) COMMENT 'probe or asset',
    hit         Bool COMMENT 'the edge cache had it',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    version         UInt64 COMMENT 'the first arrival of an event id wins',
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (drop_id, at, pop, id)
TTL toDateTime(inserted_at) + INTERVAL 100 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Synthetic requests that tell whether caches are warm. Grain: one request; read it with FINAL. Units: none. Maturity: append-only; kept ten days longer than latency_events.';

CREATE MATERIALIZED VIEW IF NOT EXISTS canary_requests_from_latency_events TO canary_requests AS
SELECT drop_id, at, pop, id, request, cache = 'hit' AS hit, kafka_partition, kafka_offset, bitNot(kafka_offset) AS version
FROM latency_events
WHERE synthetic AND request IN ('probe', 'asset')
COMMENT 'Fills canary_requests. Grain: as in canary_requests. Units: as in canary_requests. Maturity: as in canary_requests.';

INSERT INTO canary_requests (drop_id, at, pop, id, request, hit, kafka_partition, kafka_offset, version)
SELECT drop_id, at, pop, id, request, cache = 'hit', kafka_partition, kafka_offset, bitNot(kafka_offset)
FROM latency_events
WHERE synthetic AND request IN ('probe', 'asset');

-- A set of offsets counts a repeated record once, which a sum would not, and takes about a bit for each.
CREATE TABLE IF NOT EXISTS rejected
(
    stored_in   LowCardinality(String) COMMENT 'dead_letters or late_events: where the records stand, and whose offsets these are',
    day         Date COMMENT 'UTC, of their Kafka time there',
    topic       LowCardinality(String) COMMENT 'topic that they came from',
    class       LowCardinality(String) COMMENT 'why they were refused; late for those past the allowed lateness',
    kafka_partition UInt32,
    offsets     AggregateFunction(groupBitmap, UInt64) COMMENT 'their offsets in the partition; groupBitmapMerge counts them',
    newest      SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'newest Kafka time in topic',
    inserted_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT now64(3, 'UTC')
)
ENGINE = AggregatingMergeTree
ORDER BY (stored_in, day, topic, class, kafka_partition)
TTL toDateTime(inserted_at) + INTERVAL 100 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Counts of records that no number counts. Grain: table, day, topic, class, Kafka partition, once merged; counts add up over all of them. Units: records. Maturity: append-only; kept ten days longer than the records.';

CREATE MATERIALIZED VIEW IF NOT EXISTS rejected_from_dead_letters TO rejected AS
SELECT 'dead_letters' AS stored_in, toDate(kafka_time) AS day, topic, class, kafka_partition, groupBitmapState(kafka_offset) AS offsets, max(timestamp) AS newest
FROM dead_letters
GROUP BY day, topic, class, kafka_partition
COMMENT 'Fills rejected. Grain: as in rejected. Units: as in rejected. Maturity: as in rejected.';

CREATE MATERIALIZED VIEW IF NOT EXISTS rejected_from_late_events TO rejected AS
SELECT 'late_events' AS stored_in, toDate(kafka_time) AS day, topic, 'late' AS class, kafka_partition, groupBitmapState(kafka_offset) AS offsets, max(timestamp) AS newest
FROM late_events
GROUP BY day, topic, kafka_partition
COMMENT 'Fills rejected. Grain: as in rejected. Units: as in rejected. Maturity: as in rejected.';

INSERT INTO rejected (stored_in, day, topic, class, kafka_partition, offsets, newest)
SELECT 'dead_letters', toDate(kafka_time) AS day, topic, class, kafka_partition, groupBitmapState(kafka_offset), max(timestamp)
FROM dead_letters
GROUP BY day, topic, class, kafka_partition;

INSERT INTO rejected (stored_in, day, topic, class, kafka_partition, offsets, newest)
SELECT 'late_events', toDate(kafka_time) AS day, topic, 'late', kafka_partition, groupBitmapState(kafka_offset), max(timestamp)
FROM late_events
GROUP BY day, topic, kafka_partition;

-- Migration 0017 left what was stored before it to a rebuild by hand. Rows that are right stay as they are.
INSERT INTO money_facts (type, drop_id, key, currency, amount, effective_time, kafka_partition, kafka_offset, kafka_time, version)
SELECT
    type, drop_id, sipHash64(toString(channel), checkout_id, toString(type), seq), currency, amount, at,
    kafka_partition, kafka_offset, kafka_time, bitNot(kafka_offset)
FROM checkout_events
WHERE type IN ('completed', 'refunded', 'chargeback') AND NOT synthetic AND NOT quarantined;

INSERT INTO money_posted (type, drop_id, key, creator_id, split_version, currency, amount, event_time, wait_ms, accounts, participants, amounts, partition, height, posted_at)
SELECT
    t.2, t.3, sipHash64(toString(t.4), t.1, toString(t.2), t.5), t.6, t.7, t.8, t.9, fromUnixTimestamp64Milli(t.10, 'UTC'), toUnixTimestamp64Milli(posted_at) - t.11,
    arrayFilter((x, of) -> of = number, posting_account, posting_tx),
    arrayFilter((x, of) -> of = number, posting_participant, posting_tx),
    arrayFilter((x, of) -> of = number, posting_amount, posting_tx),
    partition, height, posted_at
FROM ledger
ARRAY JOIN
    arrayZip(tx_checkout, tx_type, tx_drop, tx_source, tx_seq, tx_creator, tx_split_version, tx_currency, tx_amount, tx_event_time, tx_ingest_time) AS t,
    arrayEnumerate(tx_checkout) AS number;

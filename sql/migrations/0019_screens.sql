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

CREATE TABLE IF NOT EXISTS feature_progress
(
    kafka_partition UInt32,
    newest      SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'event time that the newest features are about',
    reached     SimpleAggregateFunction(max, Nullable(DateTime64(3, 'UTC'))) COMMENT 'highest watermark of the features'
)
ENGINE = AggregatingMergeTree
ORDER BY kafka_partition
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'How far features have come. Grain: partition of the features topic, once merged: maxima merge by max. Units: event time. Maturity: only grows.';

CREATE MATERIALIZED VIEW IF NOT EXISTS feature_progress_from_features TO feature_progress AS
SELECT kafka_partition, max(as_of) AS newest, max(watermark) AS reached
FROM features
GROUP BY kafka_partition
COMMENT 'Fills feature_progress. Grain: as in feature_progress. Units: as in feature_progress. Maturity: as in feature_progress.';

INSERT INTO feature_progress (kafka_partition, newest, reached)
SELECT kafka_partition, max(as_of), max(watermark)
FROM features
GROUP BY kafka_partition;

-- Hardly any block of the ledger holds an exception, but to find those few takes a look at every block.
CREATE TABLE IF NOT EXISTS money_exceptions
(
    drop_id     LowCardinality(String) COMMENT 'drop that the event names',
    event_time  DateTime64(3, 'UTC') COMMENT 'when it happened',
    outcome     LowCardinality(String) COMMENT 'why the event was parked, refused or posted with an alarm',
    key         UInt64 COMMENT 'SipHash of the idempotency key (source, checkout_id, type, seq), as in money_facts',
    checkout_id String COMMENT 'checkout, or settlement instruction',
    type        LowCardinality(String) COMMENT 'type of the event',
    currency    LowCardinality(String) COMMENT 'ISO 4217 code',
    amount      Int64 COMMENT 'minor units of currency, not negative',
    detail      String COMMENT 'what is wrong, for a person',

    partition   UInt32 COMMENT 'of the ledger',
    height      UInt64 COMMENT 'block of the partition',
    number      UInt32 COMMENT 'of the exception in its block, from 1'
)
ENGINE = ReplacingMergeTree
ORDER BY (drop_id, event_time, partition, height, number)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Exceptions of the ledger, as ledger_exceptions has them, by drop. Grain: event and outcome; read it with FINAL. Units: minor units of currency, not negative. Maturity: final; what was parked may be posted since, and then is in money_posted too.';

CREATE MATERIALIZED VIEW IF NOT EXISTS money_exceptions_from_ledger TO money_exceptions AS
SELECT
    e.1 AS drop_id, fromUnixTimestamp64Milli(e.2, 'UTC') AS event_time, e.3 AS outcome, sipHash64(toString(e.4), e.5, toString(e.6), e.7) AS key,
    e.5 AS checkout_id, e.6 AS type, e.8 AS currency, e.9 AS amount, e.10 AS detail, partition, height, number
FROM ledger
ARRAY JOIN
    arrayZip(ex_drop, ex_event_time, ex_outcome, ex_source, ex_checkout, ex_type, ex_seq, ex_currency, ex_amount, ex_detail) AS e,
    arrayEnumerate(ex_checkout) AS number
COMMENT 'Fills money_exceptions. Grain: as in money_exceptions. Units: as in money_exceptions. Maturity: as in money_exceptions.';

INSERT INTO money_exceptions (drop_id, event_time, outcome, key, checkout_id, type, currency, amount, detail, partition, height, number)
SELECT
    e.1, fromUnixTimestamp64Milli(e.2, 'UTC'), e.3, sipHash64(toString(e.4), e.5, toString(e.6), e.7), e.5, e.6, e.8, e.9, e.10, partition, height, number
FROM ledger
ARRAY JOIN
    arrayZip(ex_drop, ex_event_time, ex_outcome, ex_source, ex_checkout, ex_type, ex_seq, ex_currency, ex_amount, ex_detail) AS e,
    arrayEnumerate(ex_checkout) AS number;

-- A sample by hash takes rows from everywhere, so that all vectors of a long range have to be read for a few thousand of them. Here a
-- sample lies together: one row in 2^n has a tier of n or more. Ranges that need less than every 16th row are read from score_events.
CREATE TABLE IF NOT EXISTS score_samples
(
    model         LowCardinality(String) COMMENT 'model that was asked',
    tier          UInt8 COMMENT 'zero bits at the end of the hash of id, from 4 to 20',
    event_time    DateTime64(3, 'UTC') COMMENT 'scoring time',
    id            UUID COMMENT 'of the event',
    model_version LowCardinality(String) COMMENT 'version that answered',
    vector        Array(Float64) COMMENT 'feature vector in the set\'s order; -1 is missing',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    version         UInt64 COMMENT 'the first arrival of an event id wins',
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (model, tier, event_time, id)
TTL toDateTime(inserted_at) + INTERVAL 100 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024
COMMENT 'A sixteenth of the answers of models, in the order of nested samples. Grain: one answer, synthetic ones and those without a vector left out; a resent one may stand twice. Units: as in score_events. Maturity: final; kept ten days longer than score_events.';

CREATE MATERIALIZED VIEW IF NOT EXISTS score_samples_from_score_events TO score_samples AS
SELECT model, toUInt8(log2(bitAnd(tail, bitNot(tail) + 1))) AS tier, event_time, id, model_version, vector, kafka_partition, kafka_offset, bitNot(kafka_offset) AS version
FROM (SELECT *, bitOr(cityHash64(id), 1048576) AS tail FROM score_events WHERE NOT synthetic AND NOT quarantined AND model_version != '' AND notEmpty(vector) AND cityHash64(id) % 16 = 0)
COMMENT 'Fills score_samples. Grain: as in score_samples. Units: as in score_samples. Maturity: as in score_samples.';

INSERT INTO score_samples (model, tier, event_time, id, model_version, vector, kafka_partition, kafka_offset, version)
SELECT model, toUInt8(log2(bitAnd(tail, bitNot(tail) + 1))), event_time, id, model_version, vector, kafka_partition, kafka_offset, bitNot(kafka_offset)
FROM (SELECT *, bitOr(cityHash64(id), 1048576) AS tail FROM score_events WHERE NOT synthetic AND NOT quarantined AND model_version != '' AND notEmpty(vector) AND cityHash64(id) % 16 = 0);

-- As in migration 0017, with the exceptions by drop. Of dead letters only those that could be decoded have a row among the facts.
CREATE OR REPLACE VIEW drop_money AS
WITH exceptions AS
(
    SELECT key, argMax(outcome IN ('parked', 'unknown_split'), (partition, height, number)) AS waits
    FROM money_exceptions
    WHERE type != 'settled' AND outcome NOT IN ('key_conflict', 'finer_than_psp')
    GROUP BY key
)
SELECT
    key,
    CAST(kind, 'Enum8(\'completed\' = 1, \'refunded\' = 2, \'chargeback\' = 3)') AS type,
    code,
    CAST(multiIf(
        posted_at > 0 AND arrived_at > 0, 1,
        posted_at > 0, 2,
        dead, 3,
        key IN (SELECT key FROM exceptions WHERE waits), 4,
        key IN (SELECT key FROM exceptions WHERE NOT waits), 5,
        6), 'Enum8(\'posted\' = 1, \'stray\' = 2, \'dead_lettered\' = 3, \'parked\' = 4, \'refused\' = 5, \'unaccounted\' = 6)') AS state,
    if(kind = 1, 1, -1) * fact AS fact_amount,
    if(kind = 1, 1, -1) * posted AS posted_amount,
    fromUnixTimestamp64Milli(greatest(arrived_at, posted_at), 'UTC') AS newest
FROM
(
    SELECT
        m.key AS key,
        any(m.kind) AS kind,
        any(m.code) AS code,
        argMaxIf(m.amount, m.version, m.origin = 1) AS fact,
        maxIf(m.amount, m.origin = 2) AS posted,
        maxIf(m.known_at, m.origin = 1) AS arrived_at,
        maxIf(m.known_at, m.origin = 2) AS posted_at,
        max(m.dead) AS dead,
        maxIf(m.mine, m.origin = 1) AS named,
        maxIf(m.mine, m.origin = 2) AS booked
    FROM
    (
        SELECT toUInt8(1) AS origin, key, toInt8(transform(type, ['completed', 'refunded'], [1, 2], 3)) AS kind, reinterpretAsUInt32(currency) AS code, amount, version,
            toUnixTimestamp64Milli(kafka_time) AS known_at, drop_id = {drop:String} AS mine,
            (kafka_partition, kafka_offset) IN (SELECT partition, offset FROM dead_letters WHERE topic = 'checkout' AND class IN ('unknown_drop', 'clock')) AS dead
        FROM money_facts
        WHERE type = 'completed' AND drop_id = {drop:String} OR type IN ('refunded', 'chargeback')
        UNION ALL
        SELECT toUInt8(2), key, toInt8(transform(type, ['completed', 'refunded'], [1, 2], 3)), reinterpretAsUInt32(currency), amount, toUInt64(0),
            toUnixTimestamp64Milli(posted_at), drop_id = {drop:String}, toUInt8(0)
        FROM money_posted
        WHERE type = 'completed' AND drop_id = {drop:String} OR type IN ('refunded', 'chargeback')
    ) AS m
    GROUP BY m.key
)
WHERE if(posted_at > 0, booked, named)
COMMENT 'What became of every checkout event about money of one drop, as ledger_reconciliation has it for all. Grain: idempotency key; parameter drop. Units: minor units of the currency whose letters reinterpretAsString(code) gives, sales positive, refunds and chargebacks negative. Maturity: as of now; parked may be posted later, unaccounted and stray of the last seconds are in flight (newest says).';

-- As in migration 0007, but what asks for one drop reads one: a condition on the drop does not pass a join, but a union it does.
CREATE OR REPLACE VIEW sold_out_drops AS
SELECT drop_id, max(item_sold_out_at) AS sold_out_at, if(countIf(item_maturity != 'final') > 0, 'provisional', 'final') AS maturity
FROM
(
    SELECT drop_id, sku, max(offered) AS is_offered, max(sold) AS is_sold_out, max(at) AS item_sold_out_at, max(state) AS item_maturity
    FROM
    (
        SELECT toString(d.drop_id) AS drop_id, arrayJoin(arrayDistinct(d.item_sku)) AS sku, 1 AS offered, 0 AS sold, toDateTime64(0, 3, 'UTC') AS at, '' AS state
        FROM drops AS d FINAL
        UNION ALL
        SELECT s.drop_id, s.sku, 0, 1, s.sold_out_at, s.maturity FROM sold_out_items AS s
    )
    GROUP BY drop_id, sku
    HAVING is_offered = 1
)
GROUP BY drop_id
HAVING min(is_sold_out) = 1
COMMENT 'Drops that have nothing left to sell. Grain: drop. Units: sold_out_at is when the last item sold out, at pane resolution: conversion clocks stop there. Maturity: column maturity; a late sale may move it back.';

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

-- What dashboards read of money: checkout events and the ledger's transactions, each one row per idempotency key, so that they can be
-- laid beside each other without a look at the raw rows or at whole blocks. Both follow from their base tables alone, and droplift audit compares them.

CREATE TABLE IF NOT EXISTS money_facts
(
    type        LowCardinality(String) COMMENT 'completed, refunded or chargeback',
    drop_id     LowCardinality(String) COMMENT 'drop that the event names; money back may name none',
    key         UInt64 COMMENT 'SipHash of the idempotency key (source, checkout_id, type, seq), as in money_posted',
    currency    LowCardinality(String) COMMENT 'ISO 4217 code',
    amount      Int64 COMMENT 'minor units of currency, not negative',
    effective_time DateTime64(3, 'UTC') COMMENT 'when it happened',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    version         UInt64 COMMENT 'the first arrival of a key wins'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (type, drop_id, key)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Checkout events about money, resends folded into their first arrival. Grain: idempotency key and drop; read it with FINAL. Units: minor units of currency, not negative. Maturity: append-only.';

CREATE MATERIALIZED VIEW IF NOT EXISTS money_facts_from_checkout_events TO money_facts AS
SELECT
    type, drop_id, sipHash64(toString(channel), checkout_id, toString(type), seq) AS key, currency, amount, at AS effective_time,
    kafka_partition, kafka_offset, kafka_time, bitNot(kafka_offset) AS version
FROM checkout_events
WHERE type IN ('completed', 'refunded', 'chargeback') AND NOT synthetic AND NOT quarantined
COMMENT 'Fills money_facts. Grain: as in money_facts. Units: as in money_facts. Maturity: as in money_facts.';

CREATE TABLE IF NOT EXISTS money_posted
(
    type        LowCardinality(String) COMMENT 'completed, refunded, chargeback or settled',
    drop_id     LowCardinality(String) COMMENT 'drop of the sale; empty for settled',
    key         UInt64 COMMENT 'SipHash of the idempotency key (source, checkout_id, type, seq), as in money_facts',
    creator_id  LowCardinality(String) COMMENT 'creator of the sale',
    split_version UInt32 COMMENT 'version of the shares',
    currency    LowCardinality(String) COMMENT 'ISO 4217 code',
    amount      Int64 COMMENT 'minor units of currency, not negative',
    event_time  DateTime64(3, 'UTC') COMMENT 'when it happened',
    wait_ms     Int64 COMMENT 'from its ingest to its block',
    accounts     Array(LowCardinality(String)) COMMENT 'per posting: account',
    participants Array(LowCardinality(String)) COMMENT 'per posting: whom a payable is owed to; empty for other accounts',
    amounts      Array(Int64) COMMENT 'per posting: minor units, debit positive, credit negative',

    partition   UInt32 COMMENT 'of the ledger',
    height      UInt64 COMMENT 'block of the partition',
    posted_at   DateTime64(3, 'UTC') COMMENT 'when the block was made, by the processor''s clock'
)
ENGINE = ReplacingMergeTree
ORDER BY (type, drop_id, key)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Transactions of the ledger with their postings, by drop. Grain: idempotency key; read it with FINAL. Units: minor units of currency; amounts debit positive. Maturity: final; corrections are further transactions.';

CREATE MATERIALIZED VIEW IF NOT EXISTS money_posted_from_ledger TO money_posted AS
SELECT
    t.2 AS type, t.3 AS drop_id, sipHash64(toString(t.4), t.1, toString(t.2), t.5) AS key, t.6 AS creator_id, t.7 AS split_version, t.8 AS currency, t.9 AS amount,
    fromUnixTimestamp64Milli(t.10, 'UTC') AS event_time, toUnixTimestamp64Milli(posted_at) - t.11 AS wait_ms,
    arrayFilter((x, of) -> of = number, posting_account, posting_tx) AS accounts,
    arrayFilter((x, of) -> of = number, posting_participant, posting_tx) AS participants,
    arrayFilter((x, of) -> of = number, posting_amount, posting_tx) AS amounts,
    partition, height, posted_at
FROM ledger
ARRAY JOIN
    arrayZip(tx_checkout, tx_type, tx_drop, tx_source, tx_seq, tx_creator, tx_split_version, tx_currency, tx_amount, tx_event_time, tx_ingest_time) AS t,
    arrayEnumerate(tx_checkout) AS number
COMMENT 'Fills money_posted. Grain: as in money_posted. Units: as in money_posted. Maturity: as in money_posted.';

-- What became of every event about money of one drop. The ledger books money back under the drop of its sale, whatever the event
-- names, so those are matched over all drops; there are few. Rows are grouped by key, which needs no FINAL, and carry numbers only:
-- texts would cost several times as much.
CREATE VIEW IF NOT EXISTS drop_money AS
WITH exceptions AS
(
    SELECT sipHash64(toString(e.source), e.checkout_id, toString(e.type), e.seq) AS key, argMax(e.outcome IN ('parked', 'unknown_split'), (e.partition, e.height, e.number)) AS waits
    FROM ledger_exceptions AS e
    WHERE e.type != 'settled' AND e.outcome NOT IN ('key_conflict', 'finer_than_psp')
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
            (kafka_partition, kafka_offset) IN (SELECT partition, offset FROM dead_letters WHERE topic = 'checkout') AS dead
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

-- The ledger of creator splits, as its blocks, and what is derived of it. Every number here can be proved again by droplift ledger verify.

CREATE TABLE IF NOT EXISTS ledger
(
    partition UInt32 COMMENT 'partition of the checkouts that the block is about',
    height    UInt64 COMMENT 'counts the blocks of the partition from 1',
    previous  String COMMENT 'hash of the block below; empty for the first',
    hash      String COMMENT 'SHA-256 (hexadecimal) over the canonical encoding of all columns but itself and the Kafka ones',
    posted_at DateTime64(3, 'UTC') COMMENT 'when the block was made, by the processor''s clock',

    tx_source        Array(LowCardinality(String)) COMMENT 'per transaction: channel; (source, checkout, type, seq) is the idempotency key',
    tx_checkout      Array(String) COMMENT 'per transaction: checkout id, or settlement instruction',
    tx_type          Array(LowCardinality(String)) COMMENT 'per transaction: completed, refunded, chargeback or settled',
    tx_seq           Array(UInt32) COMMENT 'per transaction: tells those of one type of one checkout apart',
    tx_drop          Array(LowCardinality(String)) COMMENT 'per transaction: drop; empty for settled',
    tx_creator       Array(LowCardinality(String)) COMMENT 'per transaction: creator of the sale',
    tx_split_version Array(UInt32) COMMENT 'per transaction: version of the shares',
    tx_currency      Array(LowCardinality(String)) COMMENT 'per transaction: ISO 4217 code of all its postings',
    tx_amount        Array(Int64) COMMENT 'per transaction: the event''s amount in minor units, not negative',
    tx_event_time    Array(Int64) COMMENT 'per transaction: event time, Unix ms',
    tx_ingest_time   Array(Int64) COMMENT 'per transaction: ingest time, Unix ms',

    posting_tx          Array(UInt32) COMMENT 'per posting: its transaction, counted from 1',
    posting_account     Array(LowCardinality(String)) COMMENT 'per posting: account',
    posting_participant Array(LowCardinality(String)) COMMENT 'per posting: whom a payable is owed to; empty for other accounts',
    posting_amount      Array(Int64) COMMENT 'per posting: minor units, debit positive, credit negative',

    ex_outcome     Array(LowCardinality(String)) COMMENT 'per exception: why the event was parked, refused or alarmed',
    ex_source      Array(LowCardinality(String)) COMMENT 'per exception: channel',
    ex_checkout    Array(String) COMMENT 'per exception: checkout id, or settlement instruction',
    ex_type        Array(LowCardinality(String)) COMMENT 'per exception: type of the event',
    ex_seq         Array(UInt32) COMMENT 'per exception: tells those of one type of one checkout apart',
    ex_drop        Array(LowCardinality(String)) COMMENT 'per exception: drop',
    ex_currency    Array(LowCardinality(String)) COMMENT 'per exception: ISO 4217 code',
    ex_amount      Array(Int64) COMMENT 'per exception: the event''s amount in minor units',
    ex_event_time  Array(Int64) COMMENT 'per exception: event time, Unix ms',
    ex_ingest_time Array(Int64) COMMENT 'per exception: ingest time, Unix ms',
    ex_detail      Array(String) COMMENT 'per exception: what is wrong, for a person',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (partition, height)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'The ledger, append-only and kept for good. Grain: one block of a partition''s hash chain. Units: minor units of tx_currency. Maturity: final; corrections are new transactions.';

CREATE VIEW IF NOT EXISTS ledger_transactions AS
SELECT
    partition,
    height,
    number,
    tx_source[number] AS source,
    tx_checkout[number] AS checkout_id,
    tx_type[number] AS type,
    tx_seq[number] AS seq,
    tx_drop[number] AS drop_id,
    tx_creator[number] AS creator_id,
    tx_split_version[number] AS split_version,
    tx_currency[number] AS currency,
    tx_amount[number] AS amount,
    fromUnixTimestamp64Milli(tx_event_time[number], 'UTC') AS event_time,
    fromUnixTimestamp64Milli(tx_ingest_time[number], 'UTC') AS ingest_time,
    posted_at
FROM ledger
ARRAY JOIN arrayEnumerate(tx_checkout) AS number
COMMENT 'Transactions of the ledger. Grain: one transaction. Units: amount in minor units of currency, not negative; type says which way. Maturity: final.';

CREATE VIEW IF NOT EXISTS ledger_postings AS
SELECT
    partition,
    height,
    transaction,
    account,
    participant,
    posted_amount AS amount,
    tx_currency[transaction] AS currency,
    tx_drop[transaction] AS drop_id,
    tx_creator[transaction] AS creator_id,
    tx_split_version[transaction] AS split_version,
    tx_type[transaction] AS type,
    tx_source[transaction] AS source,
    tx_checkout[transaction] AS checkout_id,
    tx_seq[transaction] AS seq,
    fromUnixTimestamp64Milli(tx_event_time[transaction], 'UTC') AS event_time,
    posted_at
FROM ledger
ARRAY JOIN posting_tx AS transaction, posting_account AS account, posting_participant AS participant, posting_amount AS posted_amount
COMMENT 'Postings of the ledger. Grain: one posting. Units: amount in minor units of currency, debit positive, credit negative. Maturity: final.';

CREATE VIEW IF NOT EXISTS ledger_balances AS
SELECT account, participant, currency, sum(amount) AS balance, count() AS postings
FROM ledger_postings
GROUP BY account, participant, currency
COMMENT 'Balances of the ledger. Grain: account, participant, currency. Units: minor units of currency, debit positive: a payable of -100 is owed to its participant. Maturity: as of now; all balances of a currency sum to 0.';

CREATE VIEW IF NOT EXISTS ledger_exceptions AS
SELECT
    partition,
    height,
    number,
    ex_outcome[number] AS outcome,
    ex_source[number] AS source,
    ex_checkout[number] AS checkout_id,
    ex_type[number] AS type,
    ex_seq[number] AS seq,
    ex_drop[number] AS drop_id,
    ex_currency[number] AS currency,
    ex_amount[number] AS amount,
    fromUnixTimestamp64Milli(ex_event_time[number], 'UTC') AS event_time,
    fromUnixTimestamp64Milli(ex_ingest_time[number], 'UTC') AS ingest_time,
    ex_detail[number] AS detail,
    posted_at
FROM ledger
ARRAY JOIN arrayEnumerate(ex_checkout) AS number
COMMENT 'Events about money that were parked, refused or posted with an alarm. Grain: one event and outcome. Units: amount in minor units of currency. Maturity: parked and unknown_split may be posted since: then ledger_transactions has the same source, checkout_id, type and seq; the others are final.';

CREATE TABLE IF NOT EXISTS settlements
(
    id           String COMMENT 'participant|currency|seq: what payment rails pay under, once',
    participant  LowCardinality(String) COMMENT 'whom to pay',
    currency     LowCardinality(String) COMMENT 'ISO 4217 code of all amounts',
    seq          UInt64 COMMENT 'counts the participant''s instructions in the currency from 1; 0 for an id that no instruction has',
    revision     UInt64 COMMENT 'newer ones replace older ones',
    status       LowCardinality(String) COMMENT 'open, settled, or an alarm: mismatched, double, unknown',
    amount       Int64 COMMENT 'to pay, minor units by ISO 4217',
    psp_amount   Int64 COMMENT 'to pay, at the payment provider''s exponent',
    psp_exponent UInt8 COMMENT 'the payment provider''s exponent of the currency',
    paid         Int64 COMMENT 'what settled events said was paid, minor units by ISO 4217',
    as_of        DateTime64(3, 'UTC') COMMENT 'event time that released it',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY kafka_partition
ORDER BY (participant, currency, id, revision)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Every revision of every settlement instruction. Grain: instruction, revision. Units: minor units of currency. Maturity: column status. settlements_latest holds the newest ones.';

CREATE VIEW IF NOT EXISTS settlements_latest AS
SELECT * FROM settlements ORDER BY participant, currency, seq, id, revision DESC LIMIT 1 BY participant, currency, seq, id
COMMENT 'Newest revision of every settlement instruction. Grain: instruction. Units: minor units of currency. Maturity: column status.';

CREATE VIEW IF NOT EXISTS ledger_reconciliation AS
SELECT
    source,
    checkout_id,
    type,
    seq,
    if(transactions > 0, ledger_drop, fact_drop) AS drop_id,
    if(transactions > 0, ledger_currency, fact_currency) AS currency,
    if(type = 'completed', 1, -1) * fact AS fact_amount,
    if(type = 'completed', 1, -1) * posted AS posted_amount,
    multiIf(
        transactions > 0 AND facts > 0, 'posted',
        transactions > 0, 'stray',
        facts > 0 AND outcome IN ('parked', 'unknown_split'), 'parked',
        facts > 0 AND outcome != '', 'refused',
        facts > 0, 'unaccounted',
        'dead_lettered') AS state,
    outcome,
    newest
FROM
(
    SELECT
        source,
        checkout_id,
        type,
        seq,
        countIf(origin = 'fact') AS facts,
        countIf(origin = 'ledger') AS transactions,
        if(facts > 0, argMinIf(amount, position, origin = 'fact'), argMinIf(amount, position, origin = 'dead')) AS fact,
        if(facts > 0, argMinIf(drop, position, origin = 'fact'), argMinIf(drop, position, origin = 'dead')) AS fact_drop,
        if(facts > 0, argMinIf(code, position, origin = 'fact'), argMinIf(code, position, origin = 'dead')) AS fact_currency,
        sumIf(amount, origin = 'ledger') AS posted,
        anyIf(drop, origin = 'ledger') AS ledger_drop,
        anyIf(code, origin = 'ledger') AS ledger_currency,
        argMaxIf(why, position, origin = 'exception') AS outcome,
        max(known_at) AS newest
    FROM
    (
        SELECT if((kafka_partition, kafka_offset) IN (SELECT partition, offset FROM dead_letters WHERE topic = 'checkout'), 'dead', 'fact') AS origin,
            toString(channel) AS source, checkout_id, toString(type) AS type, seq, toString(drop_id) AS drop, toString(currency) AS code, amount,
            '' AS why, (toUInt64(kafka_partition), kafka_offset, toUInt64(0)) AS position, kafka_time AS known_at
        FROM checkout_events
        WHERE type IN ('completed', 'refunded', 'chargeback') AND NOT synthetic AND NOT quarantined
        UNION ALL
        SELECT 'ledger', toString(source), checkout_id, toString(type), seq, toString(drop_id), toString(currency), amount,
            '', (toUInt64(partition), height, toUInt64(number)), posted_at
        FROM ledger_transactions
        WHERE type != 'settled'
        UNION ALL
        SELECT 'exception', toString(source), checkout_id, toString(type), seq, toString(drop_id), toString(currency), amount,
            toString(outcome), (toUInt64(partition), height, toUInt64(number)), posted_at
        FROM ledger_exceptions
        WHERE type != 'settled' AND outcome NOT IN ('key_conflict', 'finer_than_psp')
    )
    GROUP BY source, checkout_id, type, seq
)
WHERE (transactions > 0 OR fact_drop != '')
COMMENT 'What became of every checkout event about money of a drop: the ledger against the stored events, resends folded into their first arrival. Grain: idempotency key (source, checkout_id, type, seq). Units: minor units of currency, sales positive, refunds and chargebacks negative. Maturity: as of now; parked may be posted later, unaccounted and stray of the last seconds are in flight (newest says).';

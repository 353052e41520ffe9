-- purpose: The blocks of the ledger as they are stored, in the order in which their hash chains are proved.
-- grain: One row per block.
-- units: Amounts in minor units of tx_currency; times in Unix ms but posted_at.
-- maturity: final.
SELECT
    partition, height, previous, hash, posted_at,
    tx_source, tx_checkout, tx_type, tx_seq, tx_drop, tx_creator, tx_split_version, tx_currency, tx_amount, tx_event_time, tx_ingest_time,
    posting_tx, posting_account, posting_participant, posting_amount,
    ex_outcome, ex_source, ex_checkout, ex_type, ex_seq, ex_drop, ex_currency, ex_amount, ex_event_time, ex_ingest_time, ex_detail
FROM ledger
ORDER BY partition, height, kafka_partition, kafka_offset

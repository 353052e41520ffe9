-- purpose: Money_posted against a recomputation from the ledger: no transaction may be missing, or stand there with another amount or other postings.
-- grain: One row per base table.
-- units: Transactions.
-- maturity: Of the records below released.
-- param ledger Map(UInt32,UInt64): the offset up to which each Kafka partition of ledger is compared; others are left out.
SELECT
    'ledger' AS source,
    count() AS due,
    countIf(h.held = 0) AS missing,
    countIf(h.held = 1 AND (h.amount, h.currency, h.debits) != (d.amount, d.currency, d.debits)) AS differing
FROM
(
    SELECT
        tx_type[number] AS type, tx_drop[number] AS drop_id, sipHash64(toString(tx_source[number]), tx_checkout[number], toString(type), tx_seq[number]) AS key,
        tx_amount[number] AS amount, toString(tx_currency[number]) AS currency,
        arraySum((x, of) -> if(of = number AND x > 0, x, 0), posting_amount, posting_tx) AS debits
    FROM ledger
    ARRAY JOIN arrayEnumerate(tx_checkout) AS number
    WHERE kafka_offset < {ledger:Map(UInt32,UInt64)}[kafka_partition]
) AS d
LEFT JOIN
(
    SELECT type, drop_id, key, amount, toString(currency) AS currency, arraySum(x -> greatest(x, 0), amounts) AS debits, 1 AS held
    FROM money_posted FINAL
) AS h USING (type, drop_id, key)
GROUP BY source

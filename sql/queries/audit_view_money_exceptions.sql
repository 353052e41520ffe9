-- purpose: Money_exceptions against a recomputation from the ledger: no exception may be missing, or stand there with another event, outcome or amount.
-- grain: One row per base table.
-- units: Exceptions.
-- maturity: Of the records below released.
-- param ledger Map(UInt32,UInt64): the offset up to which each Kafka partition of ledger is compared; others are left out.
SELECT
    'ledger' AS source,
    count() AS due,
    countIf(h.held = 0) AS missing,
    countIf(h.held = 1 AND (h.outcome, h.key, h.amount, h.currency) != (d.outcome, d.key, d.amount, d.currency)) AS differing
FROM
(
    SELECT
        ex_drop[number] AS drop_id, fromUnixTimestamp64Milli(ex_event_time[number], 'UTC') AS event_time, partition, height, number,
        toString(ex_outcome[number]) AS outcome, sipHash64(toString(ex_source[number]), ex_checkout[number], toString(ex_type[number]), ex_seq[number]) AS key,
        ex_amount[number] AS amount, toString(ex_currency[number]) AS currency
    FROM ledger
    ARRAY JOIN arrayEnumerate(ex_checkout) AS number
    WHERE kafka_offset < {ledger:Map(UInt32,UInt64)}[kafka_partition]
) AS d
LEFT JOIN
(
    SELECT drop_id, event_time, partition, height, number, toString(outcome) AS outcome, key, amount, toString(currency) AS currency, 1 AS held
    FROM money_exceptions FINAL
) AS h USING (drop_id, event_time, partition, height, number)
GROUP BY source

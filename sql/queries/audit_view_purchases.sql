-- purpose: Purchases against a recomputation from checkout_events, exactly: every purchase once, at its first arrival, with its amount, and nothing else.
-- grain: One row per Kafka partition.
-- units: Purchases. missing are in the base table alone, stray in purchases alone, differing in both with another position or amount.
-- maturity: Of the records below released; rows beyond may not have reached every table yet.
-- param released Map(UInt32,UInt64): the offset up to which each Kafka partition of checkout is compared; others are left out.
SELECT
    partition,
    countIf(in_base > 0) AS due,
    countIf(in_base > 0 AND in_view = 0) AS missing,
    countIf(in_base = 0 AND in_view > 0) AS stray,
    countIf(in_base > 0 AND in_view > 0 AND due_row != held_row) AS differing
FROM
(
    SELECT
        any(kafka_partition) AS partition,
        countIf(base) AS in_base,
        countIf(NOT base) AS in_view,
        argMinIf((kafka_offset, signed, currency), kafka_offset, base) AS due_row,
        argMinIf((kafka_offset, signed, currency), kafka_offset, NOT base) AS held_row
    FROM
    (
        SELECT true AS base, player_id, id AS event_id, kafka_partition, kafka_offset,
               if(type = 'completed', amount, -amount) AS signed, toString(currency) AS currency
        FROM checkout_events
        WHERE type IN ('completed', 'refunded', 'chargeback') AND NOT synthetic AND NOT quarantined
          AND kafka_offset < {released:Map(UInt32,UInt64)}[kafka_partition]
        UNION ALL
        SELECT false, player_id, event_id, kafka_partition, kafka_offset, amount, toString(currency)
        FROM purchases FINAL
        WHERE kafka_offset < {released:Map(UInt32,UInt64)}[kafka_partition]
    )
    GROUP BY player_id, event_id
)
GROUP BY partition
ORDER BY partition

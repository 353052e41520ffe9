-- purpose: Money_facts against a recomputation from checkout_events: no event about money may be missing, or stand there as a later arrival or with another amount.
-- grain: One row per base table.
-- units: Idempotency keys of a drop. An earlier arrival is none of its business: rows beyond released may have given it.
-- maturity: Of the records below released.
-- param checkout Map(UInt32,UInt64): the offset up to which each Kafka partition of checkout is compared; others are left out.
SELECT
    'checkout_events' AS source,
    count() AS due,
    countIf(h.held = 0) AS missing,
    countIf(h.held = 1 AND (h.kafka_offset > d.first.1 OR h.kafka_offset = d.first.1 AND (h.amount, h.currency) != (d.first.2, d.first.3))) AS differing
FROM
(
    SELECT type, drop_id, sipHash64(toString(channel), checkout_id, toString(type), seq) AS key, min((kafka_offset, amount, toString(currency))) AS first
    FROM checkout_events
    WHERE type IN ('completed', 'refunded', 'chargeback') AND NOT synthetic AND NOT quarantined
      AND kafka_offset < {checkout:Map(UInt32,UInt64)}[kafka_partition]
    GROUP BY type, drop_id, key
) AS d
LEFT JOIN (SELECT type, drop_id, key, kafka_offset, amount, toString(currency) AS currency, 1 AS held FROM money_facts FINAL) AS h USING (type, drop_id, key)
GROUP BY source

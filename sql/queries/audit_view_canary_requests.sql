-- purpose: Canary_requests against a recomputation from latency_events: no probe may be missing, or stand there as a later arrival or with another answer.
-- grain: One row per base table.
-- units: Requests. An earlier arrival is none of its business: rows beyond released may have given it.
-- maturity: Of the records below released.
-- param latency Map(UInt32,UInt64): the offset up to which each Kafka partition of latency is compared; others are left out.
SELECT
    'latency_events' AS source,
    count() AS due,
    countIf(h.held = 0) AS missing,
    countIf(h.held = 1 AND (h.kafka_offset > d.first.1 OR h.kafka_offset = d.first.1 AND (h.request, h.hit) != (d.first.2, d.first.3))) AS differing
FROM
(
    SELECT drop_id, at, pop, id, min((kafka_offset, toString(request), cache = 'hit')) AS first
    FROM latency_events
    WHERE synthetic AND request IN ('probe', 'asset') AND kafka_offset < {latency:Map(UInt32,UInt64)}[kafka_partition]
    GROUP BY drop_id, at, pop, id
) AS d
LEFT JOIN (SELECT drop_id, at, pop, id, kafka_offset, toString(request) AS request, hit, 1 AS held FROM canary_requests FINAL) AS h USING (drop_id, at, pop, id)
GROUP BY source

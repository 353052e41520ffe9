-- purpose: The Kafka offsets that a table holds rows of, as runs, to merge with the runs that Kafka holds. Doubled offsets are runs of their own.
-- grain: One row per run of offsets that the same number of rows carries, in order of partition and offset.
-- units: Offsets, both ends inclusive; rows per offset.
-- maturity: As of now.
-- param table Identifier: any table with Kafka positions.
-- param first Map(UInt32,UInt64): the first offset wanted of each Kafka partition; others are left out.
-- param last Map(UInt32,UInt64): the last offset wanted of each Kafka partition.
-- param lowest UInt64 = 0: the least of first, which the index prunes by.
-- param highest UInt64 = 18446744073709551615: the greatest of last.
SELECT partition, min(offset) AS first, max(offset) AS last, copies
FROM
(
    SELECT
        kafka_partition AS partition,
        kafka_offset AS offset,
        count() AS copies,
        offset - row_number() OVER (PARTITION BY partition, copies ORDER BY offset) AS island
    FROM {table:Identifier}
    WHERE kafka_offset BETWEEN {lowest:UInt64} AND {highest:UInt64}
      AND mapContains({first:Map(UInt32,UInt64)}, kafka_partition)
      AND kafka_offset >= {first:Map(UInt32,UInt64)}[kafka_partition]
      AND kafka_offset <= {last:Map(UInt32,UInt64)}[kafka_partition]
    GROUP BY partition, offset
)
GROUP BY partition, copies, island
ORDER BY partition, first

-- purpose: The offsets of one table that more than one row carries: the proof that nothing was written twice is that there are none.
-- grain: One row per doubled offset, at most 1,000.
-- units: Rows per offset.
-- maturity: As of now.
-- param table Identifier: any table with Kafka positions.
SELECT kafka_partition AS partition, kafka_offset AS offset, count() AS rows
FROM {table:Identifier}
GROUP BY partition, offset
HAVING rows > 1
ORDER BY partition, offset
LIMIT 1000

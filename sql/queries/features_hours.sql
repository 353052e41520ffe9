-- topic: features
-- purpose: What every hour of the feature history holds, to see whether an export of it is still whole.
-- grain: One row per hour of as_of that has rows.
-- units: hour_ms is Unix ms; digest changes with any row that comes or goes.
-- maturity: As of now. Late events add revisions to hours that have passed; rows go 90 days after they came.
-- param from_ms Int64 = 0: as_of from here on, Unix ms.
-- param to_ms Int64 = 9214646400000: as_of below this, Unix ms.
SELECT
    intDiv(toUnixTimestamp64Milli(as_of), 3600000) * 3600000 AS hour_ms,
    count() AS revisions,
    groupBitXor(cityHash64(player_id, revision, kafka_partition, kafka_offset)) AS digest
FROM features
WHERE as_of >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND as_of < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
GROUP BY hour_ms
ORDER BY hour_ms

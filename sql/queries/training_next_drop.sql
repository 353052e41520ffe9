-- topic: features
-- purpose: A creator's next drop after a moment, for the label that a player is absent at it.
-- grain: At most one row.
-- units: starts_ms and ends_ms are Unix ms.
-- maturity: As the catalogue says now.
-- param creator String: creator id.
-- param after_ms Int64 = 0: the drop starts then or later.
SELECT toString(drop_id) AS drop_id, toUnixTimestamp64Milli(starts) AS starts_ms, toUnixTimestamp64Milli(ends) AS ends_ms
FROM drops FINAL
WHERE creator_id = {creator:String} AND starts >= fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
ORDER BY starts, drop_id
LIMIT 1

-- purpose: When a drop was announced, opened and ended, to be marked over time.
-- grain: One row per mark.
-- units: UTC; timeEnd is NULL for a moment; tags are joined by commas.
-- maturity: As of the catalogue's newest version.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT time, CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS timeEnd, title, text, 'drop' AS tags
FROM
(
    SELECT announced AS time, 'Announced' AS title, name AS text FROM drops FINAL WHERE drop_id = {drop:String} AND toUnixTimestamp64Milli(announced) != 0
    UNION ALL
    SELECT starts AS time, 'Drop opens' AS title, name AS text FROM drops FINAL WHERE drop_id = {drop:String}
    UNION ALL
    SELECT ends AS time, 'Drop ends' AS title, name AS text FROM drops FINAL WHERE drop_id = {drop:String}
)
WHERE time >= {from:DateTime64(3,'UTC')} AND time < {to:DateTime64(3,'UTC')}
ORDER BY time, title

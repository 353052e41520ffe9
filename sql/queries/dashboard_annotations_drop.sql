-- purpose: When a drop was announced, opened and ended, and when the premiere's stream ran, to be marked over time.
-- grain: One row per mark.
-- units: UTC; timeEnd is NULL for a moment; tags are joined by commas. The premiere runs from the first to the last cue that its stream's subtitles show.
-- maturity: As of the catalogue's newest version; the premiere's end moves while it runs.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT time, timeEnd, title, text, tags
FROM
(
    SELECT announced AS time, CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS timeEnd, 'Announced' AS title, name AS text, 'drop' AS tags
    FROM drops FINAL WHERE drop_id = {drop:String} AND toUnixTimestamp64Milli(announced) != 0
    UNION ALL
    SELECT starts, NULL, 'Drop opens', name, 'drop' FROM drops FINAL WHERE drop_id = {drop:String}
    UNION ALL
    SELECT ends, NULL, 'Drop ends', name, 'drop' FROM drops FINAL WHERE drop_id = {drop:String}
    UNION ALL
    SELECT min(pane_start), toNullable(max(pane_start + toIntervalMillisecond(pane_ms))), 'Premiere', 'from its first to its last subtitled cue', 'drop,premiere'
    FROM localization WHERE drop_id = {drop:String} AND expected > 0 HAVING count() > 0
)
WHERE time < {to:DateTime64(3,'UTC')} AND ifNull(timeEnd, time) >= {from:DateTime64(3,'UTC')}
ORDER BY time, title

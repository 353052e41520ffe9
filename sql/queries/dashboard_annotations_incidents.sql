-- purpose: Times when something was wrong with a drop, to be marked over time: burn-rate alerts of its subtitles.
-- grain: One row per incident.
-- units: UTC; timeEnd is NULL while it lasts; tags are joined by commas.
-- maturity: Final; an incident's end is not known before it has come.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT time, timeEnd, title, text, tags
FROM
(
    SELECT
        at AS time,
        leadInFrame(toNullable(at)) OVER (PARTITION BY topic, subject ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS timeEnd,
        concat('Subtitles ', subject, ': ', chosen) AS title,
        reason AS text,
        'incident,localization' AS tags,
        chosen AS state
    FROM decisions
    WHERE drop_id = {drop:String} AND topic = 'burn_rate'
)
WHERE state != 'ok' AND time < {to:DateTime64(3,'UTC')} AND (timeEnd IS NULL OR timeEnd >= {from:DateTime64(3,'UTC')})
ORDER BY time, title
LIMIT 200

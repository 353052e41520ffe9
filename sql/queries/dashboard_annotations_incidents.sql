-- purpose: Times when something was wrong with a drop, to be marked over time: burn-rate alerts of its subtitles (a stream that is over burns nothing), edge budget warned of or capped, items sold out or oversold, landing latency that costs conversions.
-- grain: One row per incident, the newest 200 of the range.
-- units: UTC; timeEnd is NULL while it lasts, and for a moment: selling out, or a budget's warning, which may stand for a day; tags are joined by commas.
-- maturity: Final; an incident's end is not known before it has come. Latency counts while the 95 % interval of the conversions lost lies above 0, observational.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT time, timeEnd, title, text, tags
FROM
(
    SELECT
        time, title, text, tags, bad, moment,
        if(moment, CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))'), leadInFrame(toNullable(time)) OVER w) AS timeEnd
    FROM
    (
        SELECT
            at AS time,
            concat(toString(topic), ' ', toString(subject)) AS what,
            multiIf(topic = 'burn_rate', concat('Subtitles ', if(subject = '', 'of small languages', subject), ': ', chosen), topic = 'budget', concat('Edge budget: ', chosen), concat(subject, ': ', replaceAll(chosen, '_', ' '))) AS title,
            reason AS text,
            multiIf(topic = 'burn_rate', 'incident,localization', topic = 'budget', 'incident,budget', 'incident,inventory') AS tags,
            multiIf(topic = 'burn_rate', chosen IN ('page', 'ticket'), topic = 'budget', chosen IN ('warn', 'cap'), chosen IN ('sold_out', 'oversold')) AS bad,
            topic = 'inventory' AND chosen = 'sold_out' OR topic = 'budget' AND chosen = 'warn' AS moment
        FROM decisions
        WHERE drop_id = {drop:String} AND (topic IN ('burn_rate', 'inventory') OR topic = 'budget' AND subject = '')
        UNION ALL
        SELECT time, 'latency', 'Landing latency costs conversions',
            concat('above ', toString(budget), ' ms, observational: ', toString(round(assumeNotNull(lost), 1)), ' lost, from ', toString(round(assumeNotNull(low), 1)), ' to ', toString(round(assumeNotNull(high), 1))),
            'incident,latency', costs, false
        FROM
        (
            SELECT as_of AS time, details['budget_ms'] AS budget, value AS lost, low, high, enough AND ifNull(low > 0, false) AS costs,
                lagInFrame(costs) OVER (ORDER BY revision ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS before
            FROM estimates
            WHERE drop_id = {drop:String} AND metric = 'latency_loss_conversions' AND empty(dimensions)
        )
        WHERE costs != before
    )
    WINDOW w AS (PARTITION BY what ORDER BY time ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
WHERE bad AND time < {to:DateTime64(3,'UTC')} AND (time >= {from:DateTime64(3,'UTC')} OR NOT moment AND (timeEnd IS NULL OR timeEnd >= {from:DateTime64(3,'UTC')}))
ORDER BY time DESC, title
LIMIT 200

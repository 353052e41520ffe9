-- purpose: Decisions about a drop that changed what players get, to be marked over time: work shed, replicas limited by the budget, notices, experiments. The pace and plain scaling change by the minute and stand in the panels of cost; what is an incident has a mark of its own.
-- grain: One row per decision, the newest 200 of the range.
-- units: UTC; timeEnd is NULL for a moment; tags are joined by commas.
-- maturity: Final; a later decision does not change an earlier one.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT at AS time, CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS timeEnd,
    concat(topic, if(subject = '', '', ' '), subject, ': ', chosen) AS title, reason AS text, concat('decision,', topic) AS tags
FROM decisions
WHERE drop_id = {drop:String} AND topic NOT IN ('pace', 'burn_rate')
  AND NOT (topic = 'replicas' AND chosen = 'scale') AND NOT (topic = 'inventory' AND chosen IN ('sold_out', 'oversold'))
  AND NOT (topic = 'budget' AND chosen IN ('warn', 'cap'))
  AND at >= {from:DateTime64(3,'UTC')} AND at < {to:DateTime64(3,'UTC')}
ORDER BY time DESC, title
LIMIT 200

-- topic: localization
-- purpose: What the burn-rate rules had decided about each language, over time.
-- grain: One row per decision and language, and one for how things stood at the start of the range.
-- units: state is 0 ok (no rule fires), 1 no cues (none, or too few in every window), 2 ticket, 3 page. The row few cues stands for languages with too few cues, judged together; it is there once they have opened a ticket or paged.
-- maturity: Final; a later decision does not change an earlier one.
-- param drop String: drop id.
-- param languages Array(String): target languages; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT time, language, argMax(decided, at) AS state
FROM
(
    -- Nothing decided yet is ok: a decision is published when it differs from the one that stands.
    SELECT DISTINCT toDateTime64(0, 3, 'UTC') AS at, toTimeZone({from:DateTime64(3,'UTC')}, 'UTC') AS time, toString(language) AS language, toUInt8(0) AS decided
    FROM localization
    WHERE drop_id = {drop:String} AND pane_start < {to:DateTime64(3,'UTC')} AND (has({languages:Array(String)}, '*') OR has({languages:Array(String)}, language))
    UNION ALL
    SELECT at, greatest(at, {from:DateTime64(3,'UTC')}) AS time, if(subject = '', 'few cues', toString(subject)) AS language,
        transform(toString(chosen), ['ok', 'no_data', 'ticket', 'page'], [0, 1, 2, 3], 1)
    FROM decisions
    WHERE drop_id = {drop:String} AND topic = 'burn_rate' AND at < {to:DateTime64(3,'UTC')}
      AND (has({languages:Array(String)}, '*') OR subject = '' OR has({languages:Array(String)}, subject))
      AND (subject != '' OR 0 < (SELECT countIf(chosen IN ('ticket', 'page')) FROM decisions
          WHERE drop_id = {drop:String} AND topic = 'burn_rate' AND subject = '' AND at < {to:DateTime64(3,'UTC')}))
)
GROUP BY time, language
ORDER BY time, language
LIMIT 5000

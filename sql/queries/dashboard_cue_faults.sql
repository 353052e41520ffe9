-- topic: localization
-- purpose: What is wrong with the cues that are not good, by target language over the whole drop.
-- grain: One row per target language with an expected cue.
-- units: Shares in [0, 1] of the expected cues. A cue with two faults counts in both, so that a bar may be longer than the share of bad cues; a missing cue has no other fault.
-- maturity: maturity is final when every pane is.
-- param drop String: drop id.
-- param languages Array(String): target languages; an element * stands for all.
SELECT
    toString(l.language) AS language,
    (sum(l.missing) - sum(l.unreported)) / sum(l.expected) AS missing,
    sum(l.unreported) / sum(l.expected) AS unreported,
    sum(l.slow) / sum(l.expected) AS slow,
    sum(l.early) / sum(l.expected) AS early,
    sum(l.brief) / sum(l.expected) AS brief,
    sum(l.long) / sum(l.expected) AS long,
    sum(l.dense) / sum(l.expected) AS dense,
    sum(l.wordy) / sum(l.expected) AS wordy,
    if(countIf(l.maturity != 'final') = 0, 'final', 'provisional') AS maturity
FROM localization_latest AS l
WHERE drop_id = {drop:String} AND (has({languages:Array(String)}, '*') OR has({languages:Array(String)}, language))
GROUP BY language
HAVING sum(l.expected) > 0
ORDER BY 1 - sum(l.good) / sum(l.expected) DESC, language
LIMIT 50

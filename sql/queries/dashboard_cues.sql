-- topic: localization
-- purpose: Share of subtitle cues that were good over time, by target language; missing cues are bad ones.
-- grain: One row per step of the range and language with an expected cue.
-- units: Shares in [0, 1] of the cues expected from the source track; the objective is 0.95. time is the step's start, event time of the cue's first record.
-- maturity: good once every pane of the step is final, provisional before.
-- param drop String: drop id.
-- param languages Array(String): target languages; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s UInt32: length of a step, seconds.
SELECT
    toStartOfInterval(pane_start, toIntervalSecond({step_s:UInt32})) AS time, toString(language) AS language,
    if(countIf(maturity != 'final') = 0, sum(l.good) / sum(expected), NULL) AS good,
    if(countIf(maturity != 'final') > 0, sum(l.good) / sum(expected), NULL) AS provisional
FROM localization_latest AS l
WHERE drop_id = {drop:String} AND (has({languages:Array(String)}, '*') OR has({languages:Array(String)}, language))
  AND pane_start >= {from:DateTime64(3,'UTC')} AND pane_start < {to:DateTime64(3,'UTC')}
GROUP BY time, language
HAVING sum(expected) > 0
ORDER BY time, language
LIMIT 20000

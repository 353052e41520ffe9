-- topic: experiments
-- purpose: How sure it is that a variant converts differently, look by look: the p-value against no effect, which holds however often one looks.
-- grain: One row per step of the range, experiment, language and variant, with the step's newest look; language * is all languages of an experiment together.
-- units: p from 0 to 1, below 0.05 it speaks against no effect, before correction for several comparisons: Read-out has the corrected one. NULL while an alarm about the split hides it or an arm has too few conversions.
-- maturity: Provisional until the drop's last panes are final.
-- param drop String: drop id.
-- param languages Array(String): target languages; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s UInt32: length of a step, seconds.
SELECT
    toStartOfInterval(as_of, toIntervalSecond({step_s:UInt32})) AS time,
    concat(dimensions['experiment'], ' ', dimensions['language'], ' ', dimensions['variant']) AS arm,
    argMax((p,), revision).1 AS p
FROM estimates
WHERE drop_id = {drop:String} AND metric = 'experiment_effect' AND (has({languages:Array(String)}, '*') OR dimensions['language'] = '*' OR has({languages:Array(String)}, dimensions['language']))
  AND as_of >= {from:DateTime64(3,'UTC')} AND as_of < {to:DateTime64(3,'UTC')}
GROUP BY time, arm
ORDER BY time, arm
LIMIT 20000

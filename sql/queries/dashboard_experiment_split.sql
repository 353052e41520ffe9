-- topic: experiments
-- purpose: Whether experiments still split players as planned: the sample-ratio test of every experiment and language, look by look.
-- grain: One row per step of the range, experiment and language, with the step's newest look.
-- units: p holds however often one looks; below 0.001 is an alarm, and effects are hidden from then on: one arm loses players, so that a comparison would mislead.
-- maturity: Provisional until the drop's last panes are final.
-- param drop String: drop id.
-- param languages Array(String): target languages; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s UInt32: length of a step, seconds.
SELECT
    toStartOfInterval(as_of, toIntervalSecond({step_s:UInt32})) AS time,
    concat(dimensions['experiment'], ' ', dimensions['language']) AS split,
    argMax((p,), revision).1 AS p
FROM estimates
WHERE drop_id = {drop:String} AND metric = 'experiment_srm' AND (has({languages:Array(String)}, '*') OR dimensions['language'] = '*' OR has({languages:Array(String)}, dimensions['language']))
  AND as_of >= {from:DateTime64(3,'UTC')} AND as_of < {to:DateTime64(3,'UTC')}
GROUP BY time, split
ORDER BY time, split
LIMIT 20000

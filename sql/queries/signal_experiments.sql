-- topic: experiments
-- purpose: Do an experiment's arms have the sizes that the catalogue promises? The newest test as of a time.
-- grain: One row per experiment and language, the empty language being all of them.
-- units: p is an always-valid p-value: it may be looked at as often as one likes. exposed in players.
-- maturity: As of at.
-- param drop String: drop id.
-- param at DateTime64(3,'UTC'): event time as of which it is judged; nothing newer is looked at.
SELECT dimensions['experiment'] AS experiment, dimensions['language'] AS language, argMax(n, (as_of, revision)) AS exposed, argMax(p, (as_of, revision)) AS p
FROM estimates
WHERE drop_id = {drop:String} AND metric = 'experiment_srm' AND as_of <= {at:DateTime64(3,'UTC')}
GROUP BY experiment, language
ORDER BY p, experiment, language
LIMIT 500

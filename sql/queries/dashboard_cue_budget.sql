-- topic: localization
-- purpose: What is left of each language's error budget for bad cues, and how long it lasts at the burn rate of now.
-- grain: One row per target language, by the newest estimate before the end of the range.
-- units: remaining of the cues so far with its 95 % interval: 1 is untouched, 0 spent; spent is of the whole drop's budget; burn in multiples of the rate that lasts for the drop; lasts_ms is NULL while the budget outlasts the drop or too few cues say.
-- maturity: maturity is final once the drop has ended and its panes are; why says what is missing.
-- param drop String: drop id.
-- param languages Array(String): target languages; an element * stands for all.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    dimensions['language'] AS language,
    value AS remaining, low AS remaining_low, high AS remaining_high,
    details['spent_of_drop'] AS spent,
    if(mapContains(details, 'burn'), details['burn'], NULL) AS burn,
    if(details['exhausted_in_ms'] >= 0, details['exhausted_in_ms'], NULL) AS lasts_ms,
    n AS cues, why, as_of, maturity
FROM estimates
WHERE drop_id = {drop:String} AND metric = 'cue_budget_remaining' AND as_of < {to:DateTime64(3,'UTC')} AND (has({languages:Array(String)}, '*') OR has({languages:Array(String)}, language))
ORDER BY revision DESC
LIMIT 1 BY language
LIMIT 200

-- topic: localization
-- purpose: How fast bad cues burn the error budget over the window that a rule looks at, by target language, and the factor above which it fires.
-- grain: One row per step of the range and language with a cue.
-- units: Multiples of the rate that lasts for the drop, 20 is everything bad; NULL under min_cues cues. The window is that of a drop of 24 to 48 h, fitted to this drop's length; a rule fires when a twelfth of the window burns above the factor, too.
-- maturity: The newest minute may still look worse than it is, until all is known of its cues.
-- param drop String: drop id.
-- param languages Array(String): target languages; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param step_s UInt32: length of a step, seconds.
-- param window_s UInt32 = 900: window for a drop of 24 to 48 h, seconds.
-- param fraction Float64 = 0.05: part of a 48 h drop's budget that the window may spend before the rule fires.
-- param target Float64 = 0.95: share of cues that must be good.
-- param min_cues UInt64 = 50: cues that a burn rate needs.
WITH
    assumeNotNull((SELECT toFloat64(dateDiff('millisecond', argMax(starts, version), argMax(ends, version))) FROM drops WHERE drop_id = {drop:String})) AS period,
    toInt64({window_s:UInt32} * 1000 * greatest(least(1., period / 86400000.), period / 172800000.)) AS window_ms,
    totals AS
    (
        -- Sums up to and with each pane, so that a window is a difference of two.
        SELECT language, pane, sum(here) OVER upto AS expected, sum(bad_here) OVER upto AS bad
        FROM
        (
            SELECT toString(l.language) AS language, toUnixTimestamp64Milli(pane_start) AS pane, toInt64(sum(l.expected)) AS here, toInt64(sum(l.expected) - sum(l.good)) AS bad_here
            FROM localization_latest AS l
            WHERE drop_id = {drop:String} AND (has({languages:Array(String)}, '*') OR has({languages:Array(String)}, language))
              AND toUnixTimestamp64Milli(pane_start) >= toUnixTimestamp64Milli({from:DateTime64(3,'UTC')}) - window_ms AND pane_start < {to:DateTime64(3,'UTC')}
            GROUP BY language, pane
        )
        WINDOW upto AS (PARTITION BY language ORDER BY pane)
    )
SELECT
    toStartOfInterval(fromUnixTimestamp64Milli(pane, 'UTC'), toIntervalSecond({step_s:UInt32})) AS time, language,
    argMax((if(cues >= {min_cues:UInt64}, faults / cues / (1 - {target:Float64}), NULL),), pane).1 AS burn,
    {fraction:Float64} * period / window_ms AS factor
FROM
(
    SELECT newest.language AS language, newest.pane AS pane, newest.expected - before.expected AS cues, newest.bad - before.bad AS faults
    FROM (SELECT language, pane, pane - window_ms AS since, expected, bad FROM totals) AS newest
    ASOF LEFT JOIN totals AS before ON before.language = newest.language AND newest.since >= before.pane
    WHERE newest.pane >= toUnixTimestamp64Milli({from:DateTime64(3,'UTC')})
)
GROUP BY time, language
ORDER BY time, language
LIMIT 20000

-- purpose: The rolling objective of subtitles beside the drops' own (DOMAIN 7.3): each language over all drops of the days before, with the burn rates of the monthly windows.
-- grain: One row per target language.
-- units: ratios from 0 to 1; burn_* in multiples of the rate that lasts for the period, NULL under min_cues cues; factors of the monthly windows are fraction · period / window; budget_remaining 1 is untouched, 0 spent, of the cues in the period.
-- maturity: provisional while any pane in the period is; as of the newest watermark of any drop, or as_of_ms.
-- param target Float64 = 0.95: share of cues that must be good.
-- param days UInt32 = 28: length of the period.
-- param min_cues UInt64 = 50: cues that a burn rate needs.
-- param as_of_ms Int64 = 0: end of the period (Unix ms); 0 is the newest watermark.
-- param settle_ms Int64 = 60000: the period ends this long before the newest watermark, when all is known of its cues.
SELECT
    language,
    uniqExact(drop_id) AS drops,
    sum(expected) AS cues,
    sum(good) AS good_cues,
    sum(missing) AS missing_cues,
    good_cues / cues AS good_ratio,
    good_ratio >= {target:Float64} AS met,
    1 - (1 - good_ratio) / (1 - {target:Float64}) AS budget_remaining,
    if(sumIf(expected, age <= 3600000) < {min_cues:UInt64}, NULL, sumIf(expected - good, age <= 3600000) / sumIf(expected, age <= 3600000) / (1 - {target:Float64})) AS burn_1h,
    if(sumIf(expected, age <= 21600000) < {min_cues:UInt64}, NULL, sumIf(expected - good, age <= 21600000) / sumIf(expected, age <= 21600000) / (1 - {target:Float64})) AS burn_6h,
    if(sumIf(expected, age <= 86400000) < {min_cues:UInt64}, NULL, sumIf(expected - good, age <= 86400000) / sumIf(expected, age <= 86400000) / (1 - {target:Float64})) AS burn_1d,
    if(sumIf(expected, age <= 259200000) < {min_cues:UInt64}, NULL, sumIf(expected - good, age <= 259200000) / sumIf(expected, age <= 259200000) / (1 - {target:Float64})) AS burn_3d,
    0.02 * {days:UInt32} * 24 AS page_factor_1h,
    0.05 * {days:UInt32} * 24 / 6 AS page_factor_6h,
    0.10 * {days:UInt32} AS ticket_factor_1d,
    0.10 * {days:UInt32} / 3 AS ticket_factor_3d,
    if(countIf(maturity != 'final') = 0, 'final', 'provisional') AS state
FROM
(
    SELECT l.language AS language, l.drop_id AS drop_id, l.expected AS expected, l.good AS good, l.missing AS missing, l.maturity AS maturity,
        e.end - toInt64(toUnixTimestamp64Milli(l.pane_start)) AS age
    FROM localization_latest AS l
    CROSS JOIN
    (
        SELECT if({as_of_ms:Int64} > 0, {as_of_ms:Int64}, toInt64(toUnixTimestamp64Milli(max(watermark))) + 1 - {settle_ms:Int64}) AS end FROM localization_latest
    ) AS e
)
WHERE age > 0 AND age <= toInt64({days:UInt32}) * 86400000
GROUP BY language
HAVING cues > 0
ORDER BY good_ratio, language

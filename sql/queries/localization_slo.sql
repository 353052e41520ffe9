-- purpose: Subtitle objectives of a drop, language by language (DOMAIN 7): what is good, what is wrong with the rest, how late cues are, and how fast the error budget burns.
-- grain: One row per target language.
-- units: ratios from 0 to 1, good_low to good_high the 95 % Wilson interval; times in ms, missing cues at the cap; quantiles within 1 %; burn_* in multiples of the rate that lasts for the drop, NULL under min_cues cues; budget_remaining 1 is untouched, 0 spent, of the cues so far.
-- maturity: final when every pane is, else provisional.
-- param drop String: drop id.
-- param languages Array(String) = ['*']: target languages; an element * stands for all.
-- param target Float64 = 0.95: share of cues that must be good.
-- param mean_ms Float64 = 4500: objective for the mean latency in the language spoken.
-- param translation_ms Float64 = 1500: objective for the 95th percentile of translation times.
-- param min_cues UInt64 = 50: cues that a burn rate needs.
-- param settle_ms Int64 = 60000: burn windows end this long before the newest pane's watermark, when all is known of their cues.
WITH 1.959963984540054 AS z, 1.01 / 0.99 AS gamma,
    totals AS
    (
        SELECT
            language, max(same_language) AS same,
            sum(l.expected) AS expected, sum(l.good) AS good, sum(l.stretch) AS stretch, sum(l.missing) AS missing, sum(l.unreported) AS unreported,
            sum(l.slow) AS slow, sum(l.brief) AS brief, sum(l.long) AS long, sum(l.dense) AS dense, sum(l.wordy) AS wordy, sum(l.early) AS early,
            sum(latency_sum_ms) AS latency_sum, sum(latency_zero) AS zero, sum(translation_sum_ms) AS translation_sum, sum(l.translated) AS translated,
            arraySort(arrayZip((sumMap(latency_index, arrayMap(n -> toUInt64(n), latency_count)) AS latencies).1, latencies.2)) AS latency_bins,
            arraySort(arrayZip((sumMap(translation_index, arrayMap(n -> toUInt64(n), translation_count)) AS translations).1, translations.2)) AS translation_bins,
            countIf(maturity != 'final') AS open,
            max(watermark) AS reached
        FROM localization_latest AS l
        WHERE drop_id = {drop:String} AND (has({languages:Array(String)}, '*') OR has({languages:Array(String)}, language))
        GROUP BY language
        HAVING expected > 0
    ),
    ends AS
    (
        SELECT toInt64(toUnixTimestamp64Milli(max(watermark))) + 1 - {settle_ms:Int64} AS end FROM localization_latest WHERE drop_id = {drop:String}
    ),
    windows AS
    (
        SELECT
            language,
            sumIf(w.expected, age <= long_ms[1]) AS v1, sumIf(w.expected - w.good, age <= long_ms[1]) AS b1,
            sumIf(w.expected, age <= long_ms[2]) AS v2, sumIf(w.expected - w.good, age <= long_ms[2]) AS b2,
            sumIf(w.expected, age <= long_ms[3]) AS v3, sumIf(w.expected - w.good, age <= long_ms[3]) AS b3
        FROM
        (
            SELECT p.language AS language, p.expected AS expected, p.good AS good,
                ends.end - toInt64(toUnixTimestamp64Milli(p.pane_start)) AS age,
                arrayMap(m -> toInt64(m * greatest(least(1., d.period / 86400000.), d.period / 172800000.)), [900000., 3600000., 21600000.]) AS long_ms
            FROM localization_latest AS p
            CROSS JOIN ends
            CROSS JOIN
            (
                SELECT toFloat64(toUnixTimestamp64Milli(argMax(ends, version)) - toUnixTimestamp64Milli(argMax(starts, version))) AS period
                FROM drops WHERE drop_id = {drop:String}
            ) AS d
            WHERE p.drop_id = {drop:String}
        ) AS w
        WHERE age > 0
        GROUP BY language
    ),
    arrayMap(q -> if(zero > q * (expected - 1), 0., pow(gamma, (arrayFirst((b, seen) -> zero + seen > q * (expected - 1), latency_bins, arrayCumSum(latency_bins.2)) AS hit).1) * 1.01), [0.5, 0.95, 0.99]) AS latency_quantiles
SELECT
    language,
    same AS same_language,
    expected, good, missing, unreported, slow, brief, long, dense, wordy, early,
    good / expected AS good_ratio,
    greatest(0, (good_ratio + z * z / (2 * expected)) / (1 + z * z / expected) - z / (1 + z * z / expected) * sqrt(good_ratio * (1 - good_ratio) / expected + z * z / (4 * expected * expected))) AS good_low,
    least(1, (good_ratio + z * z / (2 * expected)) / (1 + z * z / expected) + z / (1 + z * z / expected) * sqrt(good_ratio * (1 - good_ratio) / expected + z * z / (4 * expected * expected))) AS good_high,
    good_ratio >= {target:Float64} AS met,
    stretch / expected AS stretch_ratio,
    latency_sum / expected AS latency_mean_ms,
    if(same, latency_mean_ms <= {mean_ms:Float64}, NULL) AS mean_met,
    latency_quantiles[1] AS latency_p50_ms,
    latency_quantiles[2] AS latency_p95_ms,
    latency_quantiles[3] AS latency_p99_ms,
    if(translated = 0, NULL, translation_sum / translated) AS translation_mean_ms,
    if(translated = 0, NULL, pow(gamma, arrayFirst((b, seen) -> seen > 0.95 * (translated - 1), translation_bins, arrayCumSum(translation_bins.2)).1) * 1.01) AS translation_p95_ms,
    translation_p95_ms <= {translation_ms:Float64} AS translation_met,
    1 - (1 - good_ratio) / (1 - {target:Float64}) AS budget_remaining,
    if(v1 < {min_cues:UInt64}, NULL, b1 / v1 / (1 - {target:Float64})) AS burn_15m,
    if(v2 < {min_cues:UInt64}, NULL, b2 / v2 / (1 - {target:Float64})) AS burn_1h,
    if(v3 < {min_cues:UInt64}, NULL, b3 / v3 / (1 - {target:Float64})) AS burn_6h,
    if(open = 0, 'final', 'provisional') AS maturity
FROM totals LEFT JOIN windows USING (language)
ORDER BY good_ratio, language
LIMIT 200

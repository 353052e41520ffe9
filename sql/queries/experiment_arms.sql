-- purpose: What the arms of a drop's experiments counted: exposed players, conversions, refunds, and what may be wrong with the split.
-- grain: One row per experiment, language and variant.
-- units: Players; rates in [0, 1], with 95 % Wilson intervals of one look. They claim no effect: read experiment_readout.
-- maturity: Column maturity; refunds later, by refund_maturity.
-- param drop String: drop id.
WITH 1.959963984540054 AS z
SELECT
    experiment, language, variant, exposed, converted, rate, centre - half AS rate_low, centre + half AS rate_high,
    refunded, crossed, misassigned, changed, sample_rate, maturity, refund_maturity, watermark
FROM
(
    SELECT
        a.experiment_id AS experiment, a.language AS language, a.variant AS variant, a.n AS exposed, a.hits AS converted, a.returned AS refunded,
        a.crossings AS crossed, a.misfits AS misassigned, a.redesigned AS changed, a.rate_of_sampling AS sample_rate,
        a.conversions_are AS maturity, a.refunds_are AS refund_maturity, a.complete_to AS watermark,
        converted / exposed AS rate,
        (rate + z * z / (2 * exposed)) / (1 + z * z / exposed) AS centre,
        z / (1 + z * z / exposed) * sqrt(rate * (1 - rate) / exposed + z * z / (4 * exposed * exposed)) AS half
    FROM
    (
        SELECT experiment_id, language, variant,
               sum(exposed) AS n, sum(converted) AS hits, sum(refunded) AS returned, sum(crossed) AS crossings, sum(misassigned) AS misfits,
               max(changed) OR uniqExact(design) > 1 AS redesigned, min(sample_rate) AS rate_of_sampling,
               if(countIf(maturity != 'final') = 0, 'final', 'provisional') AS conversions_are,
               if(countIf(refund_maturity != 'final') = 0, 'final', 'provisional') AS refunds_are,
               min(watermark) AS complete_to
        FROM experiments_latest
        WHERE drop_id = {drop:String}
        GROUP BY experiment_id, language, variant
        HAVING n > 0
    ) AS a
)
ORDER BY experiment, language, variant

-- topic: cohorts
-- purpose: Lifetime value by age of the eight newest cohorts that have a mature age, newest first; Cohorts by age names them.
-- grain: One row per age that is mature in one of the cohorts.
-- units: Major units of the reporting currency per member, non-payers included, cumulative, refunds dated when they happened; age in weeks since each member's own acquisition.
-- maturity: Mature cells only: the watermark has passed the cohort's end and age + 1 weeks. A curve ends where it is not mature and is never carried forward. The numbers are copied every half hour.
-- param cohort String = week: week (ISO, UTC), drop (first drop) or creator (first creator).
SELECT
    toUInt16(c.age) AS age,
    anyIf(c.ltv, c.position = 1) AS `newest`,
    anyIf(c.ltv, c.position = 2) AS `1 earlier`,
    anyIf(c.ltv, c.position = 3) AS `2 earlier`,
    anyIf(c.ltv, c.position = 4) AS `3 earlier`,
    anyIf(c.ltv, c.position = 5) AS `4 earlier`,
    anyIf(c.ltv, c.position = 6) AS `5 earlier`,
    anyIf(c.ltv, c.position = 7) AS `6 earlier`,
    anyIf(c.ltv, c.position = 8) AS `7 earlier`
FROM
(
    SELECT age, ltv, dense_rank() OVER (ORDER BY cohort_start DESC, cohort) AS position
    FROM ltv_copy
    WHERE kind = {cohort:String} AND mature
) AS c
WHERE c.position <= 8
GROUP BY age
ORDER BY age

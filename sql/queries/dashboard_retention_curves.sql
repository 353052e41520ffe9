-- topic: cohorts
-- purpose: Which share of a cohort came back on each day of age, for the eight newest cohorts that have a mature day, newest first; Retention read-out names them.
-- grain: One row per day of age, 1 to 28, that is mature in one of the cohorts.
-- units: Share in [0, 1] of all members who began a session within [acquired + day, acquired + day + 1) days. It describes, and claims no effect of anything.
-- maturity: Mature cells only: the watermark has passed the cohort's end and day + 1 days. The numbers are copied every half hour.
-- param cohort String = week: week (ISO, UTC), drop (first drop) or creator (first creator).
SELECT
    toUInt16(c.day) AS day,
    anyIf(c.rate, c.position = 1) AS `newest`,
    anyIf(c.rate, c.position = 2) AS `1 earlier`,
    anyIf(c.rate, c.position = 3) AS `2 earlier`,
    anyIf(c.rate, c.position = 4) AS `3 earlier`,
    anyIf(c.rate, c.position = 5) AS `4 earlier`,
    anyIf(c.rate, c.position = 6) AS `5 earlier`,
    anyIf(c.rate, c.position = 7) AS `6 earlier`,
    anyIf(c.rate, c.position = 8) AS `7 earlier`
FROM
(
    SELECT day, rate, dense_rank() OVER (ORDER BY cohort_start DESC, cohort) AS position
    FROM retention_copy
    WHERE kind = {cohort:String} AND mature
) AS c
WHERE c.position <= 8
GROUP BY day
ORDER BY day

-- topic: cohorts
-- purpose: Lifetime value of every cohort at each age: the triangle that the calendar leaves.
-- grain: One row per cohort, the newest 30.
-- units: Columns age 0 to age 12 in major units of reporting_currency per member up to that age in weeks, non-payers included; members are all who were acquired.
-- maturity: A cell is empty until it is mature: the watermark has passed the cohort's end and age + 1 weeks; next_mature is when the next cell will be. The numbers are copied every half hour.
-- param cohort String = week: week (ISO, UTC), drop (first drop) or creator (first creator).
SELECT
    c.cohort AS cohort, any(c.members) AS members,
    anyIf(c.ltv, c.age = 0) AS `age 0`,
    anyIf(c.ltv, c.age = 1) AS `age 1`,
    anyIf(c.ltv, c.age = 2) AS `age 2`,
    anyIf(c.ltv, c.age = 3) AS `age 3`,
    anyIf(c.ltv, c.age = 4) AS `age 4`,
    anyIf(c.ltv, c.age = 5) AS `age 5`,
    anyIf(c.ltv, c.age = 6) AS `age 6`,
    anyIf(c.ltv, c.age = 7) AS `age 7`,
    anyIf(c.ltv, c.age = 8) AS `age 8`,
    anyIf(c.ltv, c.age = 9) AS `age 9`,
    anyIf(c.ltv, c.age = 10) AS `age 10`,
    anyIf(c.ltv, c.age = 11) AS `age 11`,
    anyIf(c.ltv, c.age = 12) AS `age 12`,
    minOrNullIf(c.cohort_end + toIntervalWeek(c.age + 1), NOT c.mature) AS next_mature,
    any(c.reporting_currency) AS reporting_currency, any(c.watermark) AS watermark
FROM ltv_copy AS c
WHERE c.kind = {cohort:String}
GROUP BY cohort
ORDER BY any(c.cohort_start) DESC, cohort
LIMIT 30

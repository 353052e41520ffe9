-- topic: cohorts
-- purpose: Retention of every cohort on days 1, 7 and 28 of age, with intervals.
-- grain: One row per cohort, the newest 30.
-- units: Shares in [0, 1] of all members; _low to _high is the 95 % Wilson interval. They describe, and claim no effect of anything.
-- maturity: A cell is empty until it is mature: the watermark has passed the cohort's end and day + 1 days. The numbers are copied every half hour.
-- param cohort String = week: week (ISO, UTC), drop (first drop) or creator (first creator).
SELECT
    c.cohort AS cohort, any(c.n) AS members,
    anyIf(c.rate, c.day = 1) AS day_1, anyIf(c.rate_low, c.day = 1) AS day_1_low, anyIf(c.rate_high, c.day = 1) AS day_1_high,
    anyIf(c.rate, c.day = 7) AS day_7, anyIf(c.rate_low, c.day = 7) AS day_7_low, anyIf(c.rate_high, c.day = 7) AS day_7_high,
    anyIf(c.rate, c.day = 28) AS day_28, anyIf(c.rate_low, c.day = 28) AS day_28_low, anyIf(c.rate_high, c.day = 28) AS day_28_high,
    max(if(c.mature, c.day, 0)) AS mature_days
FROM retention_copy AS c
WHERE c.kind = {cohort:String}
GROUP BY cohort
ORDER BY any(c.cohort_start) DESC, cohort
LIMIT 30

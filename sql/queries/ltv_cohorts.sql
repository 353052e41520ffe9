-- topic: cohorts
-- purpose: Cohorted lifetime value: cumulative net revenue per member by age since acquisition (DOMAIN 3.1).
-- grain: One row per cohort and age, ages 0 to max_age, including ages without a transaction.
-- units: net, gross, refunds and chargebacks in minor units of reporting_currency, cumulative; ltv in major units per member, non-payers included.
-- maturity: A cell is mature when watermark >= cohort_end + (age + 1) periods; immature cells are NULL, never carried forward.
-- param cohort String = week: week (ISO, UTC), month, drop (first drop) or creator (first creator). Members are acquired at their first event of that sort.
-- param dating String = refund: refund counts a refund when it happened (append-only); purchase on the purchase's day (restates).
-- param age String = member: member is floor((time - acquired) / period_ms); calendar_month is the difference of calendar months.
-- param period_ms Int64 = 604800000: length of one age step, for member ages.
-- param max_age UInt16 = 8: last age.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
SELECT * FROM ltv_curve(cohort = {cohort:String}, dating = {dating:String}, age = {age:String},
                        period_ms = {period_ms:Int64}, max_age = {max_age:UInt16}, watermark_ms = {watermark_ms:Int64})
ORDER BY cohort_start, cohort, age

-- topic: cohorts
-- purpose: How unevenly lifetime value is spread over the members of each acquisition week at one age: what stands beside the mean.
-- grain: One row per acquisition ISO week (UTC).
-- units: mean, median and winsorised_mean in major units of reporting_currency per member, non-payers included; top_share is the share of net revenue from the top 1 % of members.
-- maturity: Mature cohorts only: watermark >= cohort_end + (age + 1) periods.
-- param age UInt16 = 0: age in periods up to and including which revenue counts, refund-dated.
-- param period_ms Int64 = 604800000: length of one age step.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
SELECT * FROM ltv_spread(age = {age:UInt16}, period_ms = {period_ms:Int64}, watermark_ms = {watermark_ms:Int64})
ORDER BY cohort

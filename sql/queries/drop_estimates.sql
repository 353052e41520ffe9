-- topic: evidence
-- purpose: Every published estimate of a drop, newest revision, with the grade of its evidence.
-- grain: One row per metric and dimensions.
-- units: value, low and high in unit; the interval holds at confidence; p is against no effect. NULL where the data do not suffice, and why says what is missing.
-- maturity: Column maturity; as_of is the event time up to which every partition that takes part is complete.
-- param drop String: drop id.
-- param metric String = : prefix of the metric; empty takes all.
SELECT metric, dimensions, unit, value, low, high, confidence, p, always_valid, n, numerator, grade, label, enough, why, from, to, as_of, maturity, sample_rate, revision, details
FROM estimates_latest
WHERE drop_id = {drop:String} AND startsWith(metric, {metric:String})
ORDER BY metric, dimensions

-- topic: cohorts
-- purpose: Retention curve: which share of a cohort came back on each day of age, 1 to max_day.
-- grain: One row per cohort and day of age.
-- units: n members, all of them; returned had a session that began in [acquired + day, acquired + day + 1) days; rate in [0, 1] with its 95 % Wilson interval.
-- maturity: A cell is mature when watermark >= cohort_end + (day + 1) days; returned and rate of immature cells are NULL.
-- param cohort String = week: week (ISO, UTC) of acquisition, drop (first drop) or creator (first creator).
-- param max_day UInt16 = 28: last day of age.
-- param watermark_ms Int64 = 0: watermark in Unix ms; 0 takes it from the stored events.
SELECT * FROM retention(cohort = {cohort:String}, max_day = {max_day:UInt16}, watermark_ms = {watermark_ms:Int64})
ORDER BY cohort_start, cohort, day

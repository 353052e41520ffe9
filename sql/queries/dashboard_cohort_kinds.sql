-- topic: cohorts
-- purpose: By what members are put into cohorts, for a choice.
-- grain: One row per kind: the ISO week of the first activity, the first drop, the first creator.
-- units: None.
-- maturity: Final.
SELECT arrayJoin(['week', 'drop', 'creator']) AS cohort

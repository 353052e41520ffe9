-- topic: cohorts
-- purpose: How unevenly the value of members' first weeks is spread: what stands beside the mean, since a few may pay for all.
-- grain: One row per acquisition ISO week (UTC), the newest 30.
-- units: mean, median and winsorised_mean (the top 1 % of members held at the 99th percentile) in major units of reporting_currency per member, non-payers included; top_share is the share of net revenue from the top 1 % of members, above 0.5 a warning.
-- maturity: Weeks whose first week of age is mature. The numbers are copied every half hour.
SELECT s.cohort AS cohort, s.members AS members, s.payers / s.members AS payers_share, s.mean AS mean, s.median AS median, s.winsorised_mean AS winsorised_mean, s.top_share AS top_share,
    s.reporting_currency AS reporting_currency
FROM ltv_spread_copies AS s
WHERE s.refreshed = (SELECT max(refreshed) FROM ltv_spread_copies)
ORDER BY cohort DESC
LIMIT 30

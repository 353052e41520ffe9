-- purpose: A drop's pulse while it runs: conversions, pace, money, and how old the newest stored record is.
-- grain: One row.
-- units: conversions_per_minute over the newest 5 minutes of event time; revenue net in minor units of reporting_currency; freshness_s from the broker's clock to now.
-- maturity: Provisional.
-- param drop String: drop id.
WITH
    (SELECT max(pane_start) FROM velocity WHERE drop_id = {drop:String}) AS newest,
    (SELECT max(kafka_time) FROM player_events) AS arrived
SELECT
    sum(v.conversions) AS conversions,
    sumIf(v.conversions, v.pane_start > newest - INTERVAL 5 MINUTE) / 5 AS conversions_per_minute,
    (SELECT sum(amount_reporting) FROM purchases FINAL WHERE drop_id = {drop:String}) AS revenue,
    (SELECT argMax(value, changed_at) FROM settings WHERE name = 'reporting_currency') AS reporting_currency,
    dateDiff('millisecond', arrived, now64(3)) / 1000 AS freshness_s
FROM velocity_latest AS v
WHERE v.drop_id = {drop:String}

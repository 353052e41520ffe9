-- topic: cost
-- purpose: A drop's edge spending against its budget (DOMAIN 9): what is spent, what the rate of the last quarter of an hour leads to at the end, and the budget level that was decided.
-- grain: One row for a drop that has a budget and runs.
-- units: spent and projected as multiples of the budget; level is 0 ok, 1 warn, 2 cap.
-- maturity: As of at; panes may still be provisional.
-- param drop String: drop id.
-- param at DateTime64(3,'UTC'): event time as of which it is judged; nothing newer is looked at.
-- param rate_ms Int64 = 900000: the window of the rate.
WITH
    toInt64(toUnixTimestamp64Milli({at:DateTime64(3,'UTC')})) AS now_ms,
    costs AS
    (
        SELECT sum(ifNull(c.cost, 0)) AS spent, sumIf(ifNull(c.cost, 0), toUnixTimestamp64Milli(c.pane_start) >= now_ms - {rate_ms:Int64}) AS recent
        FROM edge_cost_latest AS c
        WHERE c.drop_id = {drop:String} AND c.currency IN (SELECT budget_currency FROM drops FINAL WHERE drop_id = {drop:String})
            AND c.pane_start < {at:DateTime64(3,'UTC')} AND toUnixTimestamp64Milli(c.pane_start) + c.pane_ms <= now_ms
    ),
    (
        SELECT argMax(multiIf(chosen = 'cap', 2, chosen = 'warn', 1, 0), at) FROM decisions
        WHERE drop_id = {drop:String} AND topic = 'budget' AND subject = '' AND at <= {at:DateTime64(3,'UTC')}
    ) AS decided
SELECT
    c.spent / d.budget AS spent,
    (c.spent + c.recent / least({rate_ms:Int64}, greatest(now_ms - toUnixTimestamp64Milli(d.starts), 60000)) * (toUnixTimestamp64Milli(d.ends) - now_ms)) / d.budget AS projected,
    toUInt8(decided) AS level
FROM costs AS c CROSS JOIN (SELECT starts, ends, budget FROM drops FINAL WHERE drop_id = {drop:String}) AS d
WHERE d.budget > 0 AND now_ms <= toUnixTimestamp64Milli(d.ends)

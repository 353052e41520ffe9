-- topic: latency
-- purpose: What slow landings of the last hour cost each POP, carefully: the landings above the budget, at the smallest harm per 100 ms that the newest estimate leaves possible (DOMAIN 5). Observational: nobody randomised the delay.
-- grain: One row per POP with min_landings in the window.
-- units: lost_low is conversions lost in the window, conversions those made; share_low is lost_low of both together. slow is the share of landings above the budget.
-- maturity: As of at; 0 lost where no estimate with enough data says that latency costs conversions.
-- param drop String: drop id.
-- param at DateTime64(3,'UTC'): event time as of which it is judged; nothing newer is looked at.
-- param window_ms Int64 = 3600000: the window.
-- param min_landings UInt64 = 100: landings that a POP needs.
WITH
    toInt64(toUnixTimestamp64Milli({at:DateTime64(3,'UTC')})) AS now_ms,
    -- The newest revision of the drop's estimate, or else of an earlier drop's: viewers are much alike.
    harm AS
    (
        SELECT argMax(details['budget_ms'], k) AS budget, argMax(details['reference_rate'], k) AS reference,
            least(0, argMax(details['slope_logit_per_100ms'] + 1.959963984540054 * details['slope_se'], k)) AS slope
        FROM (SELECT details, (drop_id = {drop:String}, as_of, revision) AS k FROM estimates
            WHERE metric = 'latency_loss_conversions' AND empty(dimensions) AND enough AND as_of <= {at:DateTime64(3,'UTC')} AND mapContains(details, 'reference_rate'))
    ),
    landings AS
    (
        SELECT l.pop AS pop, b.1 AS bin, sum(b.2) / 1000 AS n, pow((1 + any(l.accuracy)) / (1 - any(l.accuracy)), bin) * (1 + any(l.accuracy)) AS ms
        FROM latency_sketches_latest AS l
        ARRAY JOIN arrayConcat([(toInt32(-100000), l.zero)], arrayZip(l.bin_index, l.bin_weight)) AS b
        WHERE l.drop_id = {drop:String} AND l.request = 'landing' AND l.pane_start >= {at:DateTime64(3,'UTC')} - toIntervalMillisecond({window_ms:Int64})
            AND toUnixTimestamp64Milli(l.pane_start) + l.pane_ms <= now_ms
        GROUP BY pop, bin
    ),
    sales AS
    (
        SELECT pop, sum(v.conversions) AS made, sum(v.landing_players) / greatest(sum(v.landing_events), 1) AS players
        FROM velocity_latest AS v
        WHERE drop_id = {drop:String} AND pane_start >= {at:DateTime64(3,'UTC')} - toIntervalMillisecond({window_ms:Int64})
            AND toUnixTimestamp64Milli(pane_start) + pane_ms <= now_ms
        GROUP BY pop
    ),
    if(h.budget > 0, h.budget, 300) AS budget_ms
SELECT
    l.pop AS pop,
    round(sum(l.n)) AS landings,
    sumIf(l.n, l.ms > budget_ms) / sum(l.n) AS slow,
    any(s.made) AS conversions,
    any(least(1, s.players)) * sumIf(l.n * (h.reference - 1 / (1 + (1 / h.reference - 1) * exp(-h.slope * (l.ms - budget_ms) / 100))), l.ms > budget_ms AND h.reference > 0) AS lost_low,
    lost_low / greatest(lost_low + conversions, 1) AS share_low
FROM landings AS l
CROSS JOIN harm AS h
LEFT JOIN sales AS s ON s.pop = l.pop
GROUP BY pop
HAVING sum(l.n) >= {min_landings:UInt64}
ORDER BY pop
LIMIT 500

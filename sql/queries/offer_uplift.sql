-- purpose: What the offers of the edge do to conversion: eligible players whom the permanent holdout left to the offers, whatever was drawn for them, against those held out at random.
-- grain: One row per drop with eligible players, and one for all of them together (drop_id *).
-- units: Players, by their first eligible score in the window (of a drop, or of all); rates in [0, 1]; uplift_pp in percentage points with Newcombe's 95 % interval. made: players of the offered group whose first choice was an offer.
-- maturity: Final: an example is published once its label is known, so the newest scores are not in yet.
-- param model String = churn: model that scored.
-- param from_ms Int64 = 0: first scoring time, Unix ms.
-- param to_ms Int64 = 4102444800000: first scoring time that is left out.
-- param holdout_bps UInt32 = 1000: planned share held out, for the check of the groups' sizes.
WITH
    1.959963984540054 AS z,
    firsts AS
    (
        SELECT
            if(grouping(drop_id) = 1, '*', toString(drop_id)) AS drop, player_id,
            argMin((holdout, converted, offer != ''), scored_at) AS first
        FROM examples
        WHERE model = {model:String} AND eligible
            AND scored_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND scored_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        GROUP BY GROUPING SETS ((drop_id, player_id), (player_id))
    ),
    counts AS
    (
        SELECT
            drop, countIf(first.1) AS held_n, countIf(first.1 AND first.2) AS held_converted,
            countIf(NOT first.1) AS offered_n, countIf(NOT first.1 AND first.2) AS offered_converted, countIf(NOT first.1 AND first.3) AS made
        FROM firsts
        GROUP BY drop
    ),
    rates AS
    (
        SELECT
            *, held_n > 0 AND offered_n > 0 AS both,
            if(held_n = 0, 0, held_converted / held_n) AS h, if(offered_n = 0, 0, offered_converted / offered_n) AS o,
            (h + z * z / (2 * held_n)) / (1 + z * z / held_n) AS h_center, z / (1 + z * z / held_n) * sqrt(h * (1 - h) / held_n + z * z / (4 * held_n * held_n)) AS h_half,
            (o + z * z / (2 * offered_n)) / (1 + z * z / offered_n) AS o_center, z / (1 + z * z / offered_n) * sqrt(o * (1 - o) / offered_n + z * z / (4 * offered_n * offered_n)) AS o_half,
            (held_n + offered_n) * {holdout_bps:UInt32} / 10000 AS expected,
            if({holdout_bps:UInt32} IN (0, 10000), 1, erfc(sqrt((pow(held_n - expected, 2) / expected + pow(held_n - expected, 2) / (held_n + offered_n - expected)) / 2))) AS ratio_p
        FROM counts
    )
SELECT
    drop AS drop_id, held_n, held_converted, if(held_n = 0, NULL, h) AS held_rate,
    offered_n, offered_converted, if(offered_n = 0, NULL, o) AS offered_rate, made,
    ratio_p AS srm_p, ratio_p < 0.001 AS alarm,
    if(both AND NOT alarm, 100 * (o - h), NULL) AS uplift_pp,
    if(both AND NOT alarm, 100 * (o - h - sqrt(pow(o - (o_center - o_half), 2) + pow(h_center + h_half - h, 2))), NULL) AS low_pp,
    if(both AND NOT alarm, 100 * (o - h + sqrt(pow(o_center + o_half - o, 2) + pow(h - (h_center - h_half), 2))), NULL) AS high_pp,
    multiIf(alarm, 'no statement: the groups do not have the planned sizes', NOT both, 'no statement: one of the groups is empty', 'A: caused, per eligible player') AS evidence
FROM rates
ORDER BY drop_id

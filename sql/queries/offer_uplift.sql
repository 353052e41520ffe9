-- topic: models
-- purpose: What offers cause: conversion and money of eligible players against those who permanently get no offer (grade A, DOMAIN 4). Each player counts once per drop, by the first score for which the player was eligible, whether or not an offer was made.
-- grain: One row per drop; an empty drop is outside of drops.
-- units: Percentage points of conversion within the outcome window after the score, with 95 % intervals, NULL under min_conversions in either arm; relative is uplift over the holdout's rate; net per player in minor units of currency, NULL where an arm has more than one currency; srm_p is the probability of such a split by chance, NULL where holdout_bps is 0: under 0.001 believe nothing.
-- maturity: Final for the players it has.
-- param model String = churn: model that the offers were decided with.
-- param drop String = : drop id; empty takes every one.
-- param from DateTime64(3,'UTC') = 1970-01-01: scoring times from this on.
-- param to DateTime64(3,'UTC') = 2100-01-01: and before this.
-- param holdout_bps UInt32 = 0: share of players that are held out, basis points.
-- param min_conversions UInt64 = 10: conversions that an interval needs in each arm.
WITH 1.959963984540054 AS z
SELECT
    drop_id AS drop,
    countIf(NOT held) AS offered_n, countIf(NOT held AND bought) AS offered_converted,
    countIf(held) AS holdout_n, countIf(held AND bought) AS holdout_converted,
    if(offered_n > 0, offered_converted / offered_n, NULL) AS offered_rate,
    if(holdout_n > 0, holdout_converted / holdout_n, NULL) AS holdout_rate,
    least(offered_converted, holdout_converted) >= {min_conversions:UInt64} AS enough,
    100 * (offered_rate - holdout_rate) AS uplift_pp,
    if(enough, uplift_pp - 100 * z * sqrt(offered_rate * (1 - offered_rate) / offered_n + holdout_rate * (1 - holdout_rate) / holdout_n), NULL) AS low_pp,
    if(enough, uplift_pp + 100 * z * sqrt(offered_rate * (1 - offered_rate) / offered_n + holdout_rate * (1 - holdout_rate) / holdout_n), NULL) AS high_pp,
    if(enough, offered_rate / holdout_rate - 1, NULL) AS uplift_rel,
    if(enough, offered_rate / holdout_rate * exp(-z * sqrt((1 - offered_rate) / offered_converted + (1 - holdout_rate) / holdout_converted)) - 1, NULL) AS low_rel,
    if(enough, offered_rate / holdout_rate * exp(z * sqrt((1 - offered_rate) / offered_converted + (1 - holdout_rate) / holdout_converted)) - 1, NULL) AS high_rel,
    if(uniqExactIf(paid_in, paid_in != '') = 1, anyIf(paid_in, paid_in != ''), '') AS currency,
    if(currency != '' AND offered_n > 0, sumIf(paid, NOT held) / offered_n, NULL) AS offered_net,
    if(currency != '' AND holdout_n > 0, sumIf(paid, held) / holdout_n, NULL) AS holdout_net,
    if({holdout_bps:UInt32} > 0 AND {holdout_bps:UInt32} < 10000,
       erfc(sqrt((pow(holdout_n - count() * {holdout_bps:UInt32} / 10000, 2) / (count() * {holdout_bps:UInt32} / 10000)
                + pow(offered_n - count() * (10000 - {holdout_bps:UInt32}) / 10000, 2) / (count() * (10000 - {holdout_bps:UInt32}) / 10000)) / 2)), NULL) AS srm_p,
    'randomized_itt' AS grade,
    if(enough AND (low_pp > 0 OR high_pp < 0), 'caused, per offered player', 'no effect shown yet') AS wording,
    min(first_at) AS scored_from, max(first_at) AS scored_to
FROM
(
    SELECT drop_id, player_id, min(scored_at) AS first_at,
        argMin(holdout, scored_at) AS held, argMin(converted, scored_at) AS bought, argMin(net, scored_at) AS paid, argMin(toString(currency), scored_at) AS paid_in
    FROM examples
    WHERE model = {model:String} AND eligible AND {drop:String} IN ('', drop_id)
      AND scored_at >= {from:DateTime64(3,'UTC')} AND scored_at < {to:DateTime64(3,'UTC')}
    GROUP BY drop_id, player_id
)
GROUP BY drop_id
ORDER BY drop

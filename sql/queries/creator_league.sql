-- topic: money
-- purpose: Creators ranked by net revenue, with what it rests on: drops, buyers, conversion, refunds and repeat buyers.
-- grain: One row per creator with a purchase or a landing in the window.
-- units: gross, refunds, chargebacks, net and net_per_drop in minor units of reporting_currency; refund_rate of gross; rate is converted players per landed player, over pairs of player and drop, with its 95 % Wilson interval; repeat_share of buyers bought on two UTC days or more.
-- maturity: As of now: refunds and chargebacks may still come.
-- param from DateTime64(3,'UTC') = 1970-01-01: start of the window, by effective time.
-- param to DateTime64(3,'UTC') = 2299-01-01: end of the window, exclusive.
WITH 1.959963984540054 AS z
SELECT
    row_number() OVER (ORDER BY m.net DESC, creator_id) AS place,
    if(m.creator_id = '', l.creator_id, m.creator_id) AS creator_id,
    l.drops AS drops,
    m.checkouts AS checkouts,
    m.buyers AS buyers,
    m.gross AS gross,
    m.refunds AS refunds,
    m.chargebacks AS chargebacks,
    m.net AS net,
    if(l.drops > 0, intDiv(m.drop_net, l.drops), NULL) AS net_per_drop,
    if(m.gross > 0, (m.refunds + m.chargebacks) / m.gross, NULL) AS refund_rate,
    l.landed AS n,
    l.converted AS converted,
    if(l.landed > 0, l.converted / l.landed, NULL) AS rate,
    if(rate IS NULL, NULL, greatest(0, (rate + z * z / (2 * n)) / (1 + z * z / n) - z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))) AS rate_low,
    if(rate IS NULL, NULL, least(1, (rate + z * z / (2 * n)) / (1 + z * z / n) + z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)))) AS rate_high,
    if(m.buyers > 0, m.repeaters / m.buyers, NULL) AS repeat_share,
    m.unconverted AS unconverted,
    m.reporting_currency AS reporting_currency
FROM
(
    SELECT
        b.creator_id AS creator_id, sum(b.checkouts) AS checkouts, countIf(b.checkouts > 0) AS buyers, countIf(b.days > 1) AS repeaters,
        sum(b.gross) AS gross, sum(b.refunds) AS refunds, sum(b.chargebacks) AS chargebacks, gross - refunds - chargebacks AS net,
        sum(b.drop_net) AS drop_net, sum(b.unconverted) AS unconverted, max(b.reporting_currency) AS reporting_currency
    FROM
    (
        SELECT
            toString(p.creator_id) AS creator_id, p.player_id AS player_id,
            countIf(p.type = 'completed') AS checkouts,
            uniqExactIf(toDate(p.effective_time), p.type = 'completed') AS days,
            sumIf(ifNull(p.amount_reporting, 0), p.type = 'completed') AS gross,
            -sumIf(ifNull(p.amount_reporting, 0), p.type = 'refunded') AS refunds,
            -sumIf(ifNull(p.amount_reporting, 0), p.type = 'chargeback') AS chargebacks,
            sumIf(ifNull(p.amount_reporting, 0), p.drop_id != '') AS drop_net,
            countIf(p.amount_reporting IS NULL) AS unconverted,
            max(p.reporting_currency) AS reporting_currency
        FROM purchases AS p FINAL
        WHERE p.creator_id != '' AND p.effective_time >= {from:DateTime64(3,'UTC')} AND p.effective_time < {to:DateTime64(3,'UTC')}
        GROUP BY creator_id, player_id
    ) AS b
    GROUP BY creator_id
) AS m
FULL JOIN
(
    SELECT d.creator_id AS creator_id, uniqExact(v.drop_id) AS drops, count() AS landed, countIf(v.converted) AS converted
    FROM
    (
        SELECT drop_id, player_id, min(s.landing) AS first_landing, min(s.completed) AS first_completed,
               ifNull(first_completed >= first_landing, 0) AS converted
        FROM player_drops AS s
        GROUP BY drop_id, player_id
        HAVING first_landing >= {from:DateTime64(3,'UTC')} AND first_landing < {to:DateTime64(3,'UTC')}
    ) AS v
    INNER JOIN (SELECT drop_id, toString(creator_id) AS creator_id FROM drops FINAL) AS d ON d.drop_id = v.drop_id
    GROUP BY creator_id
) AS l ON l.creator_id = m.creator_id
ORDER BY place

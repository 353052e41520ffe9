-- topic: cohorts
-- purpose: Predicted lifetime value of the newest fit by how often buyers have bought again: what is expected within the horizon.
-- grain: One row per model, creator, currency and number of repeat purchases before the fit, 7 and more as one.
-- units: purchases and value per buyer within horizon weeks (bgnbd) or eligible drops (bgbb), value in major units of currency, discounted; alive is the mean probability of still being a customer, empty where the model cannot tell: bgnbd takes a buyer without a repeat for alive by construction.
-- maturity: A prediction over customers with the same history, no guarantee for a single one; the next fit replaces it. The named query ltv_predicted holds it against what was observed once its horizon has passed.
SELECT
    l.model AS model, l.creator_id AS creator, l.currency AS currency, if(l.repeats >= 7, '7+', toString(l.repeats)) AS repeats,
    count() AS buyers, avgOrNullIf(l.p_alive, l.model = 'bgbb' OR l.repeats > 0) AS alive,
    avg(l.purchases) AS purchases, avg(l.value) / any(unit) AS value, any(l.horizon) AS horizon, any(l.as_of) AS as_of
FROM
(
    SELECT p.model AS model, p.creator_id AS creator_id, p.currency AS currency, p.repeats AS repeats, p.p_alive AS p_alive, p.purchases AS purchases,
        p.value AS value, p.horizon AS horizon, p.as_of AS as_of, exp10(c.exponent) AS unit
    FROM lifetimes AS p
    INNER JOIN (SELECT model, creator_id, currency, argMax(fit, (revision, as_of)) AS fit FROM lifetimes GROUP BY model, creator_id, currency) AS f
        ON f.model = p.model AND f.creator_id = p.creator_id AND f.currency = p.currency AND f.fit = p.fit
    LEFT JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS c ON c.code = p.currency
    ORDER BY p.revision DESC LIMIT 1 BY p.model, p.player_id, p.currency, p.creator_id
) AS l
GROUP BY model, creator, currency, repeats
ORDER BY model, creator, currency, repeats
LIMIT 200

-- topic: cohorts
-- purpose: Which currencies people buy in, and since when: what a fit of lifetime values can be made for.
-- grain: One row per currency, the one with most purchases first.
-- units: purchases are completed checkouts; first is the time of the earliest.
-- maturity: As of now; complete up to watermark, which is that of the stored events.
-- param creator String = : only purchases of this creator's drops; empty for all.
SELECT
    currency,
    exponent,
    count() AS purchases,
    uniqExact(player_id) AS buyers,
    min(effective_time) AS first,
    (SELECT minIf(watermark, NOT idle) FROM watermarks) AS watermark
FROM (SELECT player_id, toString(currency) AS currency, effective_time FROM purchases FINAL
      WHERE type = 'completed' AND ({creator:String} = '' OR creator_id = {creator:String})) AS p
INNER JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS c ON c.code = p.currency
GROUP BY currency, exponent
ORDER BY purchases DESC, currency

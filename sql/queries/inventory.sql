-- purpose: How every item of a drop stands: sold, reserved, remaining, oversold, when it sold out or is going to.
-- grain: One row per item that was reserved or sold.
-- units: pieces; times in UTC. inventory, remaining and oversold are NULL for an item without limit or unknown to the catalogue (column note). sold_out_at is the end of the pane by which all were sold; sell_out_at goes on at the rate of the last 20 to 30 minutes, with its 95 % interval.
-- maturity: As of as_of, before which every partition that has news of the drop is complete; final once the drop is past the allowed lateness, sold_out_maturity once that time is.
-- param drop String: drop id.
SELECT
    e.sku AS sku,
    nullIf(e.n, 0) AS inventory,
    e.numerator AS sold,
    s.web AS sold_web,
    s.app AS sold_app,
    s.pos AS sold_pos,
    toUInt64(e.details['returned']) AS returned,
    toUInt64(e.details['reserved']) AS reserved,
    toUInt64(e.value) AS remaining,
    if(e.enough, toUInt64(e.details['oversold']), NULL) AS oversold,
    if(mapContains(e.details, 'sold_out_at'), fromUnixTimestamp64Milli(toInt64(e.details['sold_out_at']), 'UTC'), NULL) AS sold_out_at,
    multiIf(NOT mapContains(e.details, 'sold_out_at'), NULL, e.details['sold_out_final'] = 1, 'final', 'provisional') AS sold_out_maturity,
    if(mapContains(e.details, 'sell_out_at'), fromUnixTimestamp64Milli(toInt64(e.details['sell_out_at']), 'UTC'), NULL) AS sell_out_at,
    if(mapContains(e.details, 'sell_out_from'), fromUnixTimestamp64Milli(toInt64(e.details['sell_out_from']), 'UTC'), NULL) AS sell_out_from,
    if(mapContains(e.details, 'sell_out_to'), fromUnixTimestamp64Milli(toInt64(e.details['sell_out_to']), 'UTC'), NULL) AS sell_out_to,
    e.why AS note,
    e.as_of AS as_of,
    e.maturity AS maturity
FROM
(
    SELECT dimensions['sku'] AS sku, n, numerator, value, details, enough, why, as_of, maturity
    FROM estimates_latest
    WHERE drop_id = {drop:String} AND metric = 'inventory_remaining'
) AS e
LEFT JOIN
(
    SELECT toString(sku) AS sku, sumIf(sold, channel = 'web') AS web, sumIf(sold, channel = 'app') AS app, sumIf(sold, channel = 'pos') AS pos
    FROM inventory_latest
    WHERE drop_id = {drop:String}
    GROUP BY sku
) AS s ON s.sku = e.sku
ORDER BY sku

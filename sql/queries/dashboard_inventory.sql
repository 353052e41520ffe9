-- purpose: How the limited items of a drop stand, and when they sell out.
-- grain: One row per limited item that was reserved or sold, those that sell out first above, at most 100.
-- units: Pieces; sold_share in [0, 1] of inventory; sell_out in UTC at the rate of the last 20 to 30 minutes, with its 95 % interval; sold_out the end of the pane by which all were sold. oversold above 0 is a promise that cannot be kept.
-- maturity: Column maturity.
-- param drop String: drop id.
SELECT
    sku,
    n AS inventory,
    numerator AS sold,
    numerator / n AS sold_share,
    toUInt64(details['reserved']) AS reserved,
    toUInt64(assumeNotNull(value)) AS remaining,
    toUInt64(details['oversold']) AS oversold,
    if(mapContains(details, 'sold_out_at'), fromUnixTimestamp64Milli(toInt64(details['sold_out_at']), 'UTC'), NULL) AS sold_out,
    if(mapContains(details, 'sell_out_at'), fromUnixTimestamp64Milli(toInt64(details['sell_out_at']), 'UTC'), NULL) AS sell_out,
    if(mapContains(details, 'sell_out_from'), fromUnixTimestamp64Milli(toInt64(details['sell_out_from']), 'UTC'), NULL) AS sell_out_from,
    if(mapContains(details, 'sell_out_to'), fromUnixTimestamp64Milli(toInt64(details['sell_out_to']), 'UTC'), NULL) AS sell_out_to,
    maturity
FROM
(
    SELECT dimensions['sku'] AS sku, n, numerator, value, details, maturity
    FROM estimates
    WHERE drop_id = {drop:String} AND metric = 'inventory_remaining'
    ORDER BY revision DESC LIMIT 1 BY sku
)
WHERE n > 0
ORDER BY sell_out IS NULL, sell_out, sold_share DESC, sku
LIMIT 100

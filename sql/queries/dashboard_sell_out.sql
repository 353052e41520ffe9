-- purpose: What sells out next: the limited item that comes first at the rate of the last 20 to 30 minutes.
-- grain: One row.
-- units: minutes from as_of to selling out, with the 95 % interval low to high; pieces remaining. Red below 15 minutes: too late to restock; orange below 60.
-- maturity: Column maturity; state says why there is no forecast.
-- param drop String: drop id.
WITH first.1 AS sku, first.2 AS at, first.3 AS early, first.4 AS late, first.5 AS as_of_ms
SELECT
    if(at = 0, '', sku) AS next_sku,
    multiIf(limited = 0, 'nothing is limited', sold_out = limited, 'all sold out', at = 0, 'no item is selling out',
        concat(sku, ', ', toString(ceil(low)), if(high IS NULL, ' min or later', concat(' to ', toString(ceil(high)), ' min')))) AS state,
    if(at = 0, NULL, (at - as_of_ms) / 60000) AS minutes,
    if(at = 0, NULL, greatest(early - as_of_ms, 0) / 60000) AS low,
    if(at = 0 OR late = 0, NULL, (late - as_of_ms) / 60000) AS high,
    sold_out,
    limited,
    maturity
FROM
(
    SELECT
        argMin((sku, at, early, late, toUnixTimestamp64Milli(as_of)), (at = 0, at)) AS first,
        countIf(gone) AS sold_out,
        count() AS limited,
        if(countIf(maturity != 'final') > 0, 'provisional', 'final') AS maturity
    FROM
    (
        SELECT dimensions['sku'] AS sku, as_of, e.maturity AS maturity, mapContains(details, 'sold_out_at') AS gone,
            if(gone, 0, toInt64(details['sell_out_at'])) AS at, toInt64(details['sell_out_from']) AS early, toInt64(details['sell_out_to']) AS late
        FROM estimates AS e
        WHERE drop_id = {drop:String} AND metric = 'inventory_remaining' AND n > 0
        ORDER BY revision DESC LIMIT 1 BY sku
    ) AS i
)

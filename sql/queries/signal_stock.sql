-- topic: conversion
-- purpose: Limited items of which more was sold than there is.
-- grain: One row per limited item that was sold.
-- units: pieces; oversold counts every piece sold beyond the limit, what came back not taken off: it was promised to somebody.
-- maturity: As of at; panes may still be provisional.
-- param drop String: drop id.
-- param at DateTime64(3,'UTC'): event time as of which it is judged; nothing newer is looked at.
SELECT i.sku AS sku, any(d.item_limit) AS inventory, sum(i.sold) AS pieces, greatest(toInt64(pieces) - toInt64(inventory), 0) AS oversold
FROM (SELECT toString(sku) AS sku, sold FROM inventory_latest
    WHERE drop_id = {drop:String} AND pane_start < {at:DateTime64(3,'UTC')} AND pane_start + toIntervalMillisecond(pane_ms) <= {at:DateTime64(3,'UTC')}) AS i
INNER JOIN
(
    SELECT item.1 AS sku, sum(item.2) AS item_limit
    FROM drops AS c FINAL ARRAY JOIN arrayZip(c.item_sku, c.item_inventory) AS item
    WHERE c.drop_id = {drop:String}
    GROUP BY sku
    HAVING min(item.2) > 0
) AS d ON d.sku = i.sku
GROUP BY sku
ORDER BY oversold DESC, sku
LIMIT 200

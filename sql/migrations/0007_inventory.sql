-- Limited runs: what the processors count of each item, and when it sold out.

CREATE TABLE IF NOT EXISTS inventory
(
    drop_id    LowCardinality(String) COMMENT 'drop',
    sku        LowCardinality(String) COMMENT 'item',
    channel    LowCardinality(String) COMMENT 'web, app or pos',
    partner    LowCardinality(String) COMMENT 'who fulfils; empty where nothing is to be handed over',
    partition  UInt32 COMMENT 'of the checkouts; sums over partitions are exact',
    pane_start DateTime64(3, 'UTC') COMMENT 'event time at which the pane begins',
    pane_ms    UInt32 COMMENT 'length of the pane in ms',
    revision   UInt64 COMMENT 'newer ones replace older ones',
    watermark  Nullable(DateTime64(3, 'UTC')) COMMENT 'of the partition, when this was published',
    maturity   LowCardinality(String) COMMENT 'provisional or final',

    sold      UInt64 COMMENT 'pieces sold',
    reserved  UInt64 COMMENT 'pieces whose reservation begins here',
    released  UInt64 COMMENT 'reserved pieces sold or given up here',
    expired   UInt64 COMMENT 'reserved pieces whose time runs out here: counts once the watermark has passed the pane',
    returned  UInt64 COMMENT 'pieces whose checkout was refunded in full here',
    checkouts UInt64 COMMENT 'checkouts completed',
    promised  UInt64 COMMENT 'checkouts completed with a time by which the partner hands over',
    shipped   UInt64 COMMENT 'checkouts shipped',
    fulfilled UInt64 COMMENT 'checkouts fulfilled',
    cancelled UInt64 COMMENT 'promises refunded in full before any handover and the promised time',
    due       UInt64 COMMENT 'promises whose time runs out here: counts once the watermark has passed the pane',
    late      UInt64 COMMENT 'due promises neither shipped nor fulfilled by then: counts like due',

    kafka_partition UInt32,
    kafka_offset    UInt64,
    kafka_time      DateTime64(3, 'UTC'),
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (drop_id, pane_start, sku, channel, partner, partition)
TTL toDateTime(inserted_at) + INTERVAL 90 DAY
COMMENT 'Mergeable partials of limited runs; inventory_latest holds the newest ones. Grain: drop, item, channel, partner, pane, partition. Units: pieces and checkouts, by column. Maturity: column maturity; expired, due and late count once watermark has passed their pane.';

CREATE VIEW IF NOT EXISTS inventory_latest AS SELECT * FROM inventory FINAL
COMMENT 'Newest revision of every partial of limited runs; sums over partitions are exact. Grain: drop, item, channel, partner, pane, partition. Units: pieces and checkouts, by column. Maturity: column maturity.';

-- Returned pieces are left out: what came back was sold out before, and conversion clocks stopped then.
CREATE VIEW IF NOT EXISTS sold_out_items AS
SELECT
    drop_id,
    sku,
    any(item_limit) AS inventory,
    min(pane_end) AS sold_out_at,
    if(max(provisional) > 0, 'provisional', 'final') AS maturity
FROM
(
    SELECT
        p.drop_id AS drop_id, p.sku AS sku, l.item_limit AS item_limit, p.pane_end AS pane_end,
        sum(p.sold) OVER up_to AS cumulative,
        sum(p.provisional) OVER up_to AS provisional,
        cumulative - p.sold < l.item_limit AS first_reached
    FROM
    (
        SELECT toString(i.drop_id) AS drop_id, toString(i.sku) AS sku, addMilliseconds(i.pane_start, max(i.pane_ms)) AS pane_end,
            sum(i.sold) AS sold, countIf(i.maturity != 'final') AS provisional
        FROM inventory_latest AS i
        WHERE i.sold > 0
        GROUP BY drop_id, sku, i.pane_start
    ) AS p
    INNER JOIN
    (
        SELECT toString(d.drop_id) AS drop_id, item.1 AS sku, sum(item.2) AS item_limit
        FROM drops AS d FINAL
        ARRAY JOIN arrayZip(d.item_sku, d.item_inventory) AS item
        GROUP BY drop_id, sku
        HAVING min(item.2) > 0
    ) AS l ON l.drop_id = p.drop_id AND l.sku = p.sku
    WINDOW up_to AS (PARTITION BY p.drop_id, p.sku ORDER BY p.pane_end)
)
WHERE cumulative >= item_limit AND first_reached
GROUP BY drop_id, sku
COMMENT 'Limited items that sold out, by the catalogue in force. Grain: drop, item. Units: inventory in pieces; sold_out_at is the end of the pane by which all were sold. Maturity: column maturity; a late sale may move it back.';

-- Nothing is for sale any more once every item that the catalogue offers is limited and sold out.
CREATE VIEW IF NOT EXISTS sold_out_drops AS
SELECT o.drop_id AS drop_id, max(s.sold_out_at) AS sold_out_at, if(countIf(s.maturity != 'final') > 0, 'provisional', 'final') AS maturity
FROM
(
    SELECT toString(d.drop_id) AS drop_id, arrayJoin(arrayDistinct(d.item_sku)) AS sku FROM drops AS d FINAL
) AS o
LEFT JOIN (SELECT *, true AS is_sold_out FROM sold_out_items) AS s ON s.drop_id = o.drop_id AND s.sku = o.sku
GROUP BY drop_id
HAVING countIf(NOT s.is_sold_out) = 0
COMMENT 'Drops that have nothing left to sell. Grain: drop. Units: sold_out_at is when the last item sold out, at pane resolution: conversion clocks stop there. Maturity: column maturity.';

-- purpose: Drop_versions against drops: no version that drops still holds may be missing, or say otherwise.
-- grain: One row per base table.
-- units: Drops and versions. A version that drops has forgotten is none of its business.
-- maturity: Of the records below released.
-- param drop Map(UInt32,UInt64): the offset up to which each Kafka partition of drop is compared; others are left out.
SELECT 'drops' AS source, count() AS due, countIf(h.held = 0) AS missing,
    countIf(h.held = 1 AND (d.at, d.starts, d.ends, d.items, d.budget, d.budget_currency) != (h.at, h.starts, h.ends, h.items, h.budget, h.budget_currency)) AS differing
FROM
(
    SELECT drop_id, version, event_time AS at, starts, ends, (item_sku, item_price, item_currency, item_inventory) AS items, budget, budget_currency
    FROM drops FINAL
    WHERE kafka_offset < {drop:Map(UInt32,UInt64)}[kafka_partition]
) AS d
LEFT JOIN
(
    SELECT drop_id, version, at, starts, ends, (item_sku, item_price, item_currency, item_inventory) AS items, budget, budget_currency, 1 AS held
    FROM drop_versions FINAL
) AS h USING (drop_id, version)
GROUP BY source

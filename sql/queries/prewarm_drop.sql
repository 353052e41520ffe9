-- purpose: The newest catalogue entry of a drop, as a pre-warm plan needs it.
-- grain: One row, or none for an unknown drop.
-- units: starts in UTC, starts_ms in Unix ms; variants is the number of distinct variants of its experiments, 1 without any; objects is one page and one object per item.
-- maturity: As of now.
-- param drop String: drop id.
SELECT
    creator_id AS creator,
    starts,
    toUnixTimestamp64Milli(starts) AS starts_ms,
    followers,
    greatest(length(arrayDistinct(arrayFlatten(experiment_variant))), 1) AS variants,
    1 + length(item_sku) AS objects
FROM drops FINAL
WHERE drop_id = {drop:String}

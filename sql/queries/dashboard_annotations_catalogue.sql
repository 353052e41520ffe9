-- purpose: What a newer version of the catalogue changed while a drop was for sale, to be marked over time: prices, limits, items, times and the edge budget.
-- grain: One row per change, the newest 200 of the range.
-- units: UTC; timeEnd is NULL for a moment; tags are joined by commas; prices in major units.
-- maturity: Final; versions that were replaced before drop_versions was kept are unknown.
-- param drop String: drop id.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
WITH
    (SELECT mapFromArrays(groupArray(toString(code)), groupArray(exponent)) FROM currencies FINAL) AS digits,
    -- An item's offers are its currencies: the same sku may be sold in several.
    (price, code) -> concat(toString(toDecimal64(price / exp10(digits[code]), 4)), ' ', code) AS money
SELECT at AS time, CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS timeEnd, change.1 AS title, concat('version ', toString(version)) AS text, change.2 AS tags
FROM
(
    SELECT
        version, at, starts, ends, budget, budget_currency,
        arrayZip(item_sku, item_currency) AS items,
        item_price AS prices,
        item_inventory AS limits,
        lagInFrame(version) OVER v AS had_version,
        lagInFrame(items) OVER v AS had_items,
        lagInFrame(prices) OVER v AS had_prices,
        lagInFrame(limits) OVER v AS had_limits,
        lagInFrame(starts) OVER v AS had_starts,
        lagInFrame(ends) OVER v AS had_ends,
        lagInFrame(budget) OVER v AS had_budget
    FROM drop_versions FINAL
    WHERE drop_id = {drop:String}
    WINDOW v AS (ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
ARRAY JOIN arrayConcat(
    arrayMap(k -> (concat('Price of ', k.1, ': ', money(had_prices[indexOf(had_items, k)], k.2), ' to ', money(prices[indexOf(items, k)], k.2)), 'catalogue,price'),
        arrayFilter(k -> has(had_items, k) AND had_prices[indexOf(had_items, k)] != prices[indexOf(items, k)], items)),
    arrayMap(k -> (concat('Limit of ', k.1, ': ', toString(had_limits[indexOf(had_items, k)]), ' to ', toString(limits[indexOf(items, k)])), 'catalogue,inventory'),
        arrayFilter(k -> has(had_items, k) AND had_limits[indexOf(had_items, k)] != limits[indexOf(items, k)], items)),
    arrayMap(k -> (concat('New item ', k.1, ': ', money(prices[indexOf(items, k)], k.2)), 'catalogue,price'), arrayFilter(k -> NOT has(had_items, k), items)),
    arrayMap(k -> (concat('Item withdrawn: ', k.1, ' in ', k.2), 'catalogue'), arrayFilter(k -> NOT has(items, k), had_items)),
    if(had_starts != starts, [(concat('Start moved to ', toString(starts)), 'catalogue')], []),
    if(had_ends != ends, [(concat('End moved to ', toString(ends)), 'catalogue')], []),
    if(had_budget != budget, [(concat('Edge budget: ', toString(had_budget / 1e9), ' to ', toString(budget / 1e9), ' ', budget_currency), 'catalogue,budget')], [])) AS change
WHERE had_version > 0 AND time >= {from:DateTime64(3,'UTC')} AND time < {to:DateTime64(3,'UTC')}
ORDER BY time DESC, title
LIMIT 200

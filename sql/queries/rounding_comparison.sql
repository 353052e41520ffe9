-- purpose: What a share of sales comes to when it is floored on the total, per drop, or per sale, and what the ledger allocated: where rounding loses cents, and that the ledger loses none.
-- grain: One row per currency.
-- units: Minor units of currency. allocated and rest are the ledger's payables and everything else, which together are sales.
-- maturity: As of now: posted sales of the drops whose id begins with prefix, refunds left aside.
-- param prefix String = : beginning of the drops' ids; empty for all.
-- param bps Int64 = 7000: the share, in basis points.
SELECT
    t.currency AS currency,
    t.sales AS sales,
    t.total AS floored_on_total,
    t.per_drop AS floored_per_drop,
    t.per_sale AS floored_per_sale,
    p.allocated AS allocated,
    p.rest AS rest,
    sales - allocated - rest AS difference
FROM
(
    SELECT currency, sum(drop_sales) AS sales, intDiv(sales * {bps:Int64}, 10000) AS total, sum(intDiv(drop_sales * {bps:Int64}, 10000)) AS per_drop, sum(drop_floored) AS per_sale
    FROM
    (
        SELECT toString(currency) AS currency, drop_id, sum(amount) AS drop_sales, sum(intDiv(amount * {bps:Int64}, 10000)) AS drop_floored
        FROM ledger_transactions
        WHERE type = 'completed' AND startsWith(drop_id, {prefix:String})
        GROUP BY currency, drop_id
    )
    GROUP BY currency
) AS t
LEFT JOIN
(
    SELECT toString(currency) AS currency, -sumIf(amount, account = 'payable') AS allocated, -sumIf(amount, account NOT IN ('payable', 'psp_clearing')) AS rest
    FROM ledger_postings
    WHERE type = 'completed' AND startsWith(drop_id, {prefix:String})
    GROUP BY currency
) AS p ON p.currency = t.currency
ORDER BY currency

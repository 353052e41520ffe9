-- purpose: How much ledger there is.
-- grain: One row.
-- units: blocks, transactions, postings and exceptions are counts.
-- maturity: As of now.
SELECT count() AS blocks, sum(length(tx_checkout)) AS transactions, sum(length(posting_tx)) AS postings, sum(length(ex_checkout)) AS exceptions
FROM ledger

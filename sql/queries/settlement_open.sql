-- purpose: The checkout events about money that the ledger does not hold, or holds otherwise: parked, refused, dead-lettered, unaccounted, stray.
-- grain: One row per idempotency key.
-- units: Minor units of currency: sales positive; refunds and chargebacks negative.
-- maturity: As of now; unaccounted and stray events may be in flight.
-- param drop String = : drop id; empty for all.
SELECT drop_id, state, outcome, source, checkout_id, type, seq, currency, fact_amount, posted_amount, newest
FROM ledger_reconciliation
WHERE ({drop:String} = '' OR drop_id = {drop:String}) AND (state != 'posted' OR fact_amount != posted_amount)
ORDER BY drop_id, state, checkout_id, source, type, seq

-- purpose: The ledger's balances: every account of every currency.
-- grain: One row per account, participant and currency.
-- units: Minor units of currency, debit positive: a payable of -100 is owed to its participant.
-- maturity: As of now; all balances of a currency sum to 0.
SELECT toString(account) AS account, toString(participant) AS participant, toString(currency) AS currency, balance
FROM ledger_balances
ORDER BY currency, account, participant

-- purpose: What each participant is owed: earned, taken back by refunds and chargebacks, paid, and instructed but not yet paid.
-- grain: One row per participant and currency.
-- units: Minor units of currency; owed = earned - reversed - paid, negative when the participant owes.
-- maturity: As of now: refunds and chargebacks may still come.
-- param participant String = : participant; empty for all.
SELECT
    participant,
    currency,
    sum(earned) AS earned,
    sum(reversed) AS reversed,
    sum(paid) AS paid,
    earned - reversed - paid AS owed,
    sum(instructed) AS instructed,
    sum(alarms) AS alarms
FROM
(
    SELECT
        toString(participant) AS participant, toString(currency) AS currency, -sumIf(amount, type = 'completed') AS earned,
        sumIf(amount, type IN ('refunded', 'chargeback')) AS reversed, sumIf(amount, type = 'settled') AS paid, toInt64(0) AS instructed, toUInt64(0) AS alarms
    FROM ledger_postings
    WHERE account = 'payable'
    GROUP BY participant, currency
    UNION ALL
    SELECT toString(participant), toString(currency), 0, 0, 0, sumIf(amount, status = 'open'), countIf(status NOT IN ('open', 'settled'))
    FROM settlements_latest
    GROUP BY participant, currency
)
WHERE {participant:String} = '' OR participant = {participant:String}
GROUP BY participant, currency
ORDER BY participant, currency

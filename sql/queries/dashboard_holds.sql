-- purpose: What is held back of each drop of the chosen creators, and until when: all of it until the hold is over, then the reserve.
-- grain: One row per drop, participant and currency with something held back, those that end first, at most 100; one that says so when there is none.
-- units: held and reserved in major units of currency; until in UTC, event time, by the standing rules for holds.
-- maturity: As of the newest event or payout stored: refunds and chargebacks may still come.
-- param creators Array(String): creator ids; an element * stands for all.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param hold_h Int64 = 168: hours after a drop's end before which nothing of it is paid out, as --settle-hold has it.
-- param reserve_bps Int64 = 1000: share that is held back longer, in basis points, as --settle-reserve-bps has it.
-- param reserve_h Int64 = 2880: hours after a drop's end until which it is, as --settle-reserve-for has it.
WITH
    (SELECT greatest((SELECT max(pane_start) FROM edge_cost), (SELECT max(event_time) FROM money_posted), (SELECT max(as_of) FROM settlements))) AS as_of,
    accrued AS
    (
        SELECT
            toString(participant) AS participant, toString(m.currency) AS currency, toString(m.drop_id) AS drop_id,
            -sumIf(posted, m.type = 'completed') AS earned,
            sumIf(posted, m.type IN ('refunded', 'chargeback')) AS returned,
            sumIf(posted, m.type = 'settled') AS paid
        FROM money_posted AS m FINAL
        ARRAY JOIN accounts AS account, participants AS participant, amounts AS posted
        WHERE account = 'payable'
        GROUP BY participant, currency, drop_id
    ),
    backs AS
    (
        SELECT 1 AS k, a.drop_id AS drop_id, a.participant AS participant, a.currency AS currency,
            multiIf(a.earned - a.returned <= 0, 0, d.drop_id = '' OR as_of < d.ends + toIntervalHour({hold_h:Int64}), a.earned - a.returned, 0) AS held,
            if(held = 0 AND a.earned > a.returned AND as_of < d.ends + toIntervalHour({reserve_h:Int64}), intDiv((a.earned - a.returned) * {reserve_bps:Int64}, 10000), 0) AS reserved,
            if(held > 0, d.ends + toIntervalHour({hold_h:Int64}), d.ends + toIntervalHour({reserve_h:Int64})) AS until
        FROM accrued AS a
        INNER JOIN (SELECT toString(drop_id) AS drop_id, ends FROM drops FINAL WHERE (has({creators:Array(String)}, '*') OR has({creators:Array(String)}, creator_id))) AS d ON d.drop_id = a.drop_id
        WHERE (has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, a.currency)) AND held + reserved > 0
        ORDER BY until, drop_id, participant, currency
        LIMIT 100
    )
SELECT
    if(b.k = 0, 'nothing is held back', b.drop_id) AS drop,
    b.participant AS participant,
    b.currency AS currency,
    if(b.k = 0, NULL, b.held / exp10(c.exponent)) AS held,
    if(b.k = 0, NULL, b.reserved / exp10(c.exponent)) AS reserved,
    if(b.k = 0, NULL, b.until) AS until
FROM (SELECT 1 AS k) AS one
LEFT JOIN backs AS b USING (k)
LEFT JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS c ON c.code = b.currency
ORDER BY until, drop, participant, currency

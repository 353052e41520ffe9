-- purpose: What the drop's participants are owed over all drops, and what of it may be paid out: held until the hold after a drop's end is over, reserved a part for longer, then payable.
-- grain: One row per participant and currency, the largest 100.
-- units: Major units of currency. owed = earned - returned - paid, negative when the participant owes; payable = owed - held - reserved - instructed. alarms counts payouts that were paid otherwise than instructed.
-- maturity: As of the newest event or payout stored, by the standing rules for holds; a share that is on hold by name is not paid though payable, and below the least payout it waits.
-- param drop String: drop id.
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
    per_drop AS
    (
        SELECT a.participant AS participant, a.currency AS currency, a.earned AS earned, a.returned AS returned, a.paid AS paid,
            multiIf(a.earned - a.returned <= 0, 0, d.drop_id = '' OR as_of < d.ends + toIntervalHour({hold_h:Int64}), a.earned - a.returned, 0) AS held,
            if(held = 0 AND a.earned > a.returned AND as_of < d.ends + toIntervalHour({reserve_h:Int64}), intDiv((a.earned - a.returned) * {reserve_bps:Int64}, 10000), 0) AS reserved
        FROM (SELECT * FROM accrued WHERE participant IN (SELECT arrayJoin(arrayFlatten(split_participant)) FROM drops FINAL WHERE drop_id = {drop:String})) AS a
        LEFT JOIN (SELECT toString(drop_id) AS drop_id, ends FROM drops FINAL) AS d ON d.drop_id = a.drop_id
    ),
    instructions AS
    (
        SELECT toString(participant) AS participant, toString(currency) AS currency, sumIf(amount, status = 'open') AS instructed, countIf(status NOT IN ('open', 'settled')) AS alarms
        FROM settlements_latest
        GROUP BY participant, currency
    )
SELECT
    p.participant AS participant,
    p.currency AS currency,
    sum(p.earned) / exp10(any(c.exponent)) AS earned,
    sum(p.returned) / exp10(any(c.exponent)) AS returned,
    sum(p.paid) / exp10(any(c.exponent)) AS paid,
    (sum(p.earned) - sum(p.returned) - sum(p.paid)) / exp10(any(c.exponent)) AS owed,
    sum(p.held) / exp10(any(c.exponent)) AS held,
    sum(p.reserved) / exp10(any(c.exponent)) AS reserved,
    any(i.instructed) / exp10(any(c.exponent)) AS instructed,
    (sum(p.earned) - sum(p.returned) - sum(p.paid) - sum(p.held) - sum(p.reserved) - any(i.instructed)) / exp10(any(c.exponent)) AS payable,
    any(i.alarms) AS alarms
FROM per_drop AS p
LEFT JOIN instructions AS i ON i.participant = p.participant AND i.currency = p.currency
INNER JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS c ON c.code = p.currency
WHERE (has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, p.currency))
GROUP BY participant, currency
ORDER BY owed DESC, participant, currency
LIMIT 100

-- purpose: Who gets which share of a drop: what each version of the shares agrees, and what the ledger credited under it.
-- grain: One row per version, participant and currency, at most 200.
-- units: agreed and share in [0, 1], of what the version's sales credit to participants and the platform; credited in major units of currency, net of money back; NULL where nothing was sold under the version.
-- maturity: As of now: refunds and chargebacks may still come.
-- param drop String: drop id.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
SELECT
    s.version AS version,
    s.participant AS participant,
    s.bps / 10000 AS agreed,
    a.currency AS currency,
    if(a.currency = '', NULL, a.credited / exp10(x.exponent)) AS credited,
    if(a.total = 0, NULL, a.credited / a.total) AS share
FROM
(
    SELECT version, toString(share.1) AS participant, sum(share.2) AS bps
    FROM (SELECT split.1 AS version, arrayJoin(arrayZip(split.2, split.3)) AS share
          FROM (SELECT arrayJoin(arrayZip(split_version, split_participant, split_bps)) AS split FROM drops FINAL WHERE drop_id = {drop:String}))
    GROUP BY version, participant
) AS s
LEFT JOIN
(
    SELECT split_version AS version, toString(m.currency) AS currency, if(account = 'platform_rev', 'platform', toString(participant)) AS participant,
        -sum(posted) AS credited, sum(credited) OVER (PARTITION BY version, currency) AS total
    FROM money_posted AS m FINAL
    ARRAY JOIN accounts AS account, participants AS participant, amounts AS posted
    WHERE m.drop_id = {drop:String} AND m.type IN ('completed', 'refunded', 'chargeback') AND account IN ('payable', 'platform_rev')
      AND (has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, m.currency))
    GROUP BY version, currency, participant
) AS a ON a.version = s.version AND a.participant = s.participant
LEFT JOIN (SELECT toString(code) AS code, exponent FROM currencies FINAL) AS x ON x.code = a.currency
ORDER BY version DESC, currency, agreed DESC, participant
LIMIT 200

-- purpose: What creators' drops sold in the range, what came back, and who keeps what of it, as the ledger has it.
-- grain: One row per creator and currency, those with the most sales, at most 100.
-- units: Major units of currency; refunds and chargebacks negative; net is the sum of the three; shares is what the net credits to participants, platform to the platform.
-- maturity: As of now: refunds and chargebacks may still come.
-- param creators Array(String): creator ids; an element * stands for all.
-- param currencies Array(String): ISO 4217 codes; an element * stands for all.
-- param from DateTime64(3,'UTC'): start of the range.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
SELECT
    p.creator_id AS creator,
    p.currency AS currency,
    uniqExact(p.drop_id) AS drops,
    countIf(p.type = 'completed') AS sales,
    sumIf(p.amount, p.type = 'completed') / exp10(any(c.exponent)) AS gross,
    -sumIf(p.amount, p.type = 'refunded') / exp10(any(c.exponent)) AS refunds,
    -sumIf(p.amount, p.type = 'chargeback') / exp10(any(c.exponent)) AS chargebacks,
    sum(if(p.type = 'completed', p.amount, -p.amount)) / exp10(any(c.exponent)) AS net,
    -sum(p.shares) / exp10(any(c.exponent)) AS shares,
    -sum(p.platform) / exp10(any(c.exponent)) AS platform
FROM
(
    SELECT creator_id, drop_id, type, currency, amount,
        arraySum(arrayMap((a, x) -> if(a = 'payable', x, 0), accounts, amounts)) AS shares,
        arraySum(arrayMap((a, x) -> if(a = 'platform_rev', x, 0), accounts, amounts)) AS platform
    FROM money_posted FINAL
    WHERE type IN ('completed', 'refunded', 'chargeback') AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}
      AND (has({creators:Array(String)}, '*') OR has({creators:Array(String)}, creator_id))
) AS p
INNER JOIN (SELECT code, exponent FROM currencies FINAL) AS c ON c.code = p.currency
WHERE (has({currencies:Array(String)}, '*') OR has({currencies:Array(String)}, p.currency))
GROUP BY creator, currency
ORDER BY sales DESC, creator, currency
LIMIT 100

-- purpose: Whether partners hand over what they promised, by the time they promised it: shipped to the buyer or fulfilled, whichever is first.
-- grain: One row per partner.
-- units: checkouts; late_rate is late / due in [0, 1] with its 95 % Wilson interval. Promises refunded in full before any handover are cancelled, not due.
-- maturity: due and late hold the promises whose time the watermark has passed. final when that is all of them and no late event can change it.
-- param drop String = *: drop id; * for all drops.
WITH
    progress AS
    (
        SELECT drop_id, partition, max(watermark) AS passed
        FROM inventory_latest
        WHERE {drop:String} = '*' OR drop_id = {drop:String}
        GROUP BY drop_id, partition
    )
SELECT
    partner,
    sum(promised) AS promised,
    sum(shipped) AS shipped,
    sum(fulfilled) AS fulfilled,
    sum(cancelled) AS cancelled,
    sumIf(c.due, is_passed) AS due,
    sumIf(c.late, is_passed) AS late,
    if(due = 0, NULL, late / due) AS late_rate,
    if(due = 0, NULL, greatest(0, (late_rate + z * z / (2 * due)) / (1 + z * z / due) - z / (1 + z * z / due) * sqrt(late_rate * (1 - late_rate) / due + z * z / (4 * due * due)))) AS late_low,
    if(due = 0, NULL, least(1, (late_rate + z * z / (2 * due)) / (1 + z * z / due) + z / (1 + z * z / due) * sqrt(late_rate * (1 - late_rate) / due + z * z / (4 * due * due)))) AS late_high,
    min(c.passed) AS watermark,
    if(due + cancelled = promised AND countIf(is_provisional) = 0, 'final', 'provisional') AS maturity
FROM
(
    SELECT i.partner AS partner, i.promised AS promised, i.shipped AS shipped, i.fulfilled AS fulfilled, i.cancelled AS cancelled,
        i.due AS due, i.late AS late, p.passed AS passed, 1.959963984540054 AS z,
        i.maturity != 'final' AS is_provisional,
        toUnixTimestamp64Milli(i.pane_start) + i.pane_ms - 1 <= toUnixTimestamp64Milli(assumeNotNull(p.passed)) AS is_passed
    FROM inventory_latest AS i
    INNER JOIN progress AS p ON p.drop_id = i.drop_id AND p.partition = i.partition
    WHERE ({drop:String} = '*' OR i.drop_id = {drop:String}) AND i.partner != ''
) AS c
GROUP BY partner, z
ORDER BY partner

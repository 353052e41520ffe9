-- purpose: How old the numbers of a drop are, in event time, and whether they can still change.
-- grain: One row.
-- units: Seconds to the end of the range, or of the drop where that is earlier: age_s from the foremost partition's watermark, orange above 60 s, red above 300 s, when what is shown is no longer live; slowest_s from the slowest partition's, as it last published (one without visitors stays behind).
-- maturity: As of now; maturity says whether any pane counted can still change.
-- param drop String: drop id.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
WITH (SELECT any(ends) FROM drops FINAL WHERE drop_id = {drop:String}) AS end, least(end, {to:DateTime64(3,'UTC')}) AS at
SELECT
    greatest(dateDiff('millisecond', max(passed), at), 0) / 1000 AS age_s,
    greatest(dateDiff('millisecond', min(passed), at), 0) / 1000 AS slowest_s,
    if(sum(open) > 0, 'provisional', 'final') AS maturity
FROM
(
    SELECT max(v.watermark) AS passed, countIf(v.maturity != 'final') AS open
    FROM velocity_latest AS v
    WHERE v.drop_id = {drop:String} AND v.pane_start < {to:DateTime64(3,'UTC')}
    GROUP BY v.partition
)
HAVING count() > 0

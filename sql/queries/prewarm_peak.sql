-- purpose: The busiest minute of a creator's newest earlier drop that has edge cost, to size the next one by.
-- grain: One row, or none without such a drop.
-- units: peak_per_s in players' requests a second, weighted by 1/sample_rate; cpu_s in seconds of edge compute a request; followers as the catalogue had them.
-- maturity: As of now.
-- param creator String: creator id.
-- param before DateTime64(3,'UTC'): start of the drop to plan for.
SELECT
    c.drop_id AS drop,
    any(d.followers) AS followers,
    max(c.requests) / 60e6 AS peak_per_s,
    sum(c.cpu) / sum(c.requests) AS cpu_s
FROM
(
    SELECT drop_id, toStartOfMinute(pane_start) AS minute, sum(requests_micro) AS requests, sum(cpu_us) AS cpu
    FROM edge_cost_latest
    WHERE NOT synthetic AND requests_micro > 0
    GROUP BY drop_id, minute
) AS c
INNER JOIN (SELECT drop_id, starts, followers FROM drops FINAL WHERE creator_id = {creator:String} AND starts < {before:DateTime64(3,'UTC')}) AS d ON d.drop_id = c.drop_id
GROUP BY drop
ORDER BY any(d.starts) DESC
LIMIT 1

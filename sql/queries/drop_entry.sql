-- topic: catalogue
-- purpose: The newest catalogue entry of a drop.
-- grain: One row, or none for an unknown drop.
-- units: starts and ends in UTC.
-- maturity: As of now.
-- param drop String: drop id.
SELECT
    drop_id,
    argMax(name, (version, kafka_offset)) AS name,
    argMax(starts, (version, kafka_offset)) AS starts,
    argMax(ends, (version, kafka_offset)) AS ends
FROM drops
WHERE drop_id = {drop:String}
GROUP BY drop_id

-- topic: models
-- purpose: Whether the players that a model scores still are those it was trained on: the population stability index of every feature, scored vectors against training.
-- grain: One row per version and feature.
-- units: psi as a sum over bins, half a row added to each: by convention below 0.1 is stable and from 0.25 on another population; by_chance is what no drift at all gives on average at these numbers of rows. bins counts scores, resent ones once and synthetic ones not, in the bins of training, missing those without the value; shares and missing_share are training's.
-- maturity: As of now.
-- param model String = churn: model.
-- param version String = : version that answered; empty takes every one.
-- param from DateTime64(3,'UTC') = 1970-01-01: scoring times from this on.
-- param to DateTime64(3,'UTC') = 2100-01-01: and before this.
-- param sample UInt64 = 0: take about so many scores, chosen by a hash, when there are more; 0 takes all.
WITH
    (SELECT greatest(1, intDiv(count(), greatest(1, {sample:UInt64}))) FROM score_events
     WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}) AS every,
    arrayFilter(b -> NOT (b.1 < 0.5 AND b.2 = 0), arrayZip(arrayPushBack(arrayMap(share -> share * rows, shares), missing_share * rows), arrayPushBack(bins, missing))) AS used
SELECT
    version, feature,
    n, missing,
    arrayMap(i -> arraySum(c -> if(c.1 = i, c.2, 0), counted), range(length(edges) + 1)) AS bins,
    if(length(used) < 2, 0, arraySum(b -> ((b.2 + 0.5) / (n + 0.5 * length(used)) - (b.1 + 0.5) / (rows + 0.5 * length(used)))
        * log((b.2 + 0.5) / (n + 0.5 * length(used)) / ((b.1 + 0.5) / (rows + 0.5 * length(used)))), used)) AS psi,
    if(length(used) < 2, 0, (length(used) - 1) * (1 / n + 1 / rows)) AS by_chance,
    edges, shares, missing_share, rows
FROM
(
    SELECT
        version, position, any(feature) AS feature, any(edges) AS edges, any(shares) AS shares, any(missing_share) AS missing_share, any(rows) AS rows,
        sum(c) AS n, sumIf(c, bin < 0) AS missing, groupArrayIf((toUInt64(bin), c), bin >= 0) AS counted
    FROM
    (
        SELECT
            s.version AS version, s.position AS position,
            any(r.feature) AS feature, any(r.edges) AS edges, any(r.shares) AS shares, any(r.missing) AS missing_share, any(r.rows) AS rows,
            if(r.nullable AND s.value = -1, -1, toInt64(arrayCount(edge -> edge < s.value, r.edges))) AS bin,
            count() AS c
        FROM
        (
            SELECT version, value, toUInt32(position) AS position FROM
            (
                SELECT id, toString(model_version) AS version, vector FROM score_events
                WHERE model = {model:String} AND {version:String} IN ('', model_version)
                  AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')} AND NOT synthetic AND NOT quarantined
                  AND model_version != '' AND notEmpty(vector)
                  AND ({sample:UInt64} = 0 OR cityHash64(id) % every = 0)
                ORDER BY kafka_partition, kafka_offset LIMIT 1 BY id
            )
            ARRAY JOIN vector AS value, arrayEnumerate(vector) AS position
        ) AS s
        INNER JOIN (SELECT * FROM model_references WHERE model = {model:String}) AS r ON r.version = s.version AND r.position = s.position
        GROUP BY version, position, bin
    )
    GROUP BY version, position
)
ORDER BY version, psi DESC, feature

-- topic: models
-- purpose: Drift of features: whether the players that a model scores still are those it was trained on, and how complete their features are.
-- grain: One row per version and feature, the 100 that drifted most.
-- units: psi is the population stability index of scored vectors against training: below 0.1 stable, from 0.25 on another population; by_chance is its mean without any drift. missing is the share of scores without the value, missing_in_training of training rows. From a sample where the range has more than 10,000 scores.
-- maturity: As of now.
-- param model String = churn: model.
-- param from DateTime64(3,'UTC'): start of the range, scoring time.
-- param to DateTime64(3,'UTC'): end of the range, exclusive.
-- param sample UInt64 = 5000: take about so many, chosen by a hash, when the range has more.
WITH
    (SELECT toUInt64(exp2(floor(log2(greatest(1, count() / {sample:UInt64}))))) FROM score_events
     WHERE model = {model:String} AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}) AS every
SELECT
    feature,
    if(length(used) < 2, 0, arraySum(b -> ((b.2 + 0.5) / (n + 0.5 * length(used)) - (b.1 + 0.5) / (rows + 0.5 * length(used)))
        * log((b.2 + 0.5) / (n + 0.5 * length(used)) / ((b.1 + 0.5) / (rows + 0.5 * length(used)))), used)) AS psi,
    if(length(used) < 2, 0, (length(used) - 1) * (1 / n + 1 / rows)) AS by_chance,
    missing_n / n AS missing, missing_share AS missing_in_training, n AS scores, version
FROM
(
    SELECT
        version, any(feature) AS feature, any(rows) AS rows, any(missing_share) AS missing_share, sum(c) AS n, sumIf(c, bin < 0) AS missing_n,
        groupArrayIf((toUInt64(bin), c), bin >= 0) AS counted,
        arrayMap(i -> arraySum(c -> if(c.1 = i, c.2, 0), counted), range(length(any(edges)) + 1)) AS bins,
        arrayFilter(b -> NOT (b.1 < 0.5 AND b.2 = 0),
            arrayZip(arrayPushBack(arrayMap(share -> share * rows, any(shares)), missing_share * rows), arrayPushBack(bins, missing_n))) AS used
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
                SELECT id, version, vector FROM
                (
                    SELECT id, toString(model_version) AS version, vector, kafka_partition, kafka_offset FROM score_events
                    WHERE every < 16 AND model = {model:String}
                      AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')} AND NOT synthetic AND NOT quarantined
                      AND model_version != '' AND notEmpty(vector) AND cityHash64(id) % every = 0
                    UNION ALL
                    SELECT id, toString(model_version), vector, kafka_partition, kafka_offset FROM score_samples
                    WHERE every >= 16 AND model = {model:String} AND tier >= toUInt8(log2(every))
                      AND event_time >= {from:DateTime64(3,'UTC')} AND event_time < {to:DateTime64(3,'UTC')}
                )
                ORDER BY kafka_partition, kafka_offset LIMIT 1 BY id
            )
            ARRAY JOIN vector AS value, arrayEnumerate(vector) AS position
        ) AS s
        INNER JOIN (SELECT * FROM model_references WHERE model = {model:String}) AS r ON r.version = s.version AND r.position = s.position
        GROUP BY version, position, bin
    )
    GROUP BY version, position
)
ORDER BY psi DESC, version, feature
LIMIT 100

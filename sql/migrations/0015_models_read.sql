-- What reads of models need beside their records: the names behind a vector's positions, and the distributions of training.

CREATE TABLE IF NOT EXISTS feature_sets
(
    hash     String COMMENT 'hash of the contract, as in scores, examples and models',
    name     LowCardinality(String) COMMENT 'feature set',
    version  UInt32 COMMENT 'its version',
    names    Array(String) COMMENT 'names of the vector\'s values, in order',
    nullable Array(Bool) COMMENT 'where -1 stands for a missing value',
    seen_at  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when a process that stores with it started last'
)
ENGINE = ReplacingMergeTree(seen_at)
ORDER BY hash
COMMENT 'Contracts of feature vectors. Grain: hash; read it with FINAL. Units: none. Maturity: final, a contract never changes under its hash.';

CREATE VIEW IF NOT EXISTS model_references AS
SELECT
    m.name AS model, m.version AS version, m.feature_hash AS feature_hash,
    reference.name AS feature,
    toUInt32(indexOf(s.names, feature)) AS position,
    s.nullable[position] AS nullable,
    toUInt64(JSONExtractUInt(m.artefact, 'training', 'rows')) AS rows,
    reference.edges AS edges,
    reference.shares AS shares,
    reference.missing AS missing
FROM (SELECT name, version, feature_hash, artefact FROM models ORDER BY published_at DESC LIMIT 1 BY name, version) AS m
INNER JOIN (SELECT hash, names, nullable FROM feature_sets FINAL) AS s ON s.hash = m.feature_hash
ARRAY JOIN JSONExtract(m.artefact, 'reference', 'Array(Tuple(name String, edges Array(Float64), shares Array(Float64), missing Float64))') AS reference
COMMENT 'Distributions of features in the training of published models. Grain: model, version, feature. Units: edges in the feature\'s unit, bin i is (edges[i-1], edges[i]]; shares and missing are shares of rows, the rows trained on; position in the vector, from 1. Maturity: final.';

-- topic: models
-- purpose: Published versions of models: what they are, what they do now, what they were trained on and how good they were then.
-- grain: One row per model and version.
-- units: auc from 0 to 1, NULL where one outcome was absent; log_loss and base_log_loss in nats a row; slope 1 is perfect calibration; times in UTC, times of training are scoring times.
-- maturity: Final, but role, which is as of the newest decision.
-- param model String = : model; empty takes every one.
SELECT
    m.name AS model, m.version AS version, m.kind AS kind,
    multiIf(m.version = r.champion, 'champion', m.version = r.shadow, 'shadow', m.version = r.previous, 'previous', '') AS role,
    m.published_at AS published_at,
    if(JSONHas(m.artefact, 'metrics') AND JSONExtractFloat(m.artefact, 'metrics', 'auc') >= 0, JSONExtractFloat(m.artefact, 'metrics', 'auc'), NULL) AS auc,
    if(auc IS NULL, NULL, JSONExtractFloat(m.artefact, 'metrics', 'auc_se')) AS auc_se,
    if(JSONHas(m.artefact, 'metrics'), JSONExtractFloat(m.artefact, 'metrics', 'log_loss'), NULL) AS log_loss,
    if(JSONHas(m.artefact, 'metrics'), JSONExtractFloat(m.artefact, 'metrics', 'base_log_loss'), NULL) AS base_log_loss,
    if(JSONHas(m.artefact, 'metrics'), JSONExtractFloat(m.artefact, 'metrics', 'slope'), NULL) AS slope,
    JSONExtractInt(m.artefact, 'metrics', 'rows') AS tested_rows,
    JSONExtractInt(m.artefact, 'training', 'rows') AS trained_rows,
    JSONExtractInt(m.artefact, 'training', 'positives') AS trained_positives,
    fromUnixTimestamp64Milli(JSONExtractInt(m.artefact, 'training', 'from'), 'UTC') AS trained_from,
    fromUnixTimestamp64Milli(JSONExtractInt(m.artefact, 'training', 'to'), 'UTC') AS trained_to,
    length(JSONExtractArrayRaw(m.artefact, 'features', 'names')) AS features,
    m.feature_hash AS feature_hash, m.checksum AS checksum
FROM (SELECT * FROM models WHERE {model:String} IN ('', name) ORDER BY published_at DESC LIMIT 1 BY name, version) AS m
LEFT JOIN
(
    SELECT name, champion, shadow, previous FROM rollouts WHERE {model:String} IN ('', name) ORDER BY kafka_offset DESC LIMIT 1 BY name
) AS r ON r.name = m.name
ORDER BY model, published_at DESC, version

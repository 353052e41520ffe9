-- What live screens need besides: the cache's verdicts on edge requests, and what the catalogue said before its newest version.

ALTER TABLE latency_sketches ADD COLUMN IF NOT EXISTS hits UInt64 COMMENT 'weight of requests answered from the edge cache, thousandths of a request; 0 in rows from before migration 0016' AFTER bin_weight;
ALTER TABLE latency_sketches ADD COLUMN IF NOT EXISTS stale UInt64 COMMENT 'weight of requests answered from the edge cache with content past its time, thousandths of a request' AFTER hits;
ALTER TABLE latency_sketches ADD COLUMN IF NOT EXISTS misses UInt64 COMMENT 'weight of requests that went to the origin, thousandths of a request' AFTER stale;
ALTER TABLE latency_sketches ADD COLUMN IF NOT EXISTS bypassed UInt64 COMMENT 'weight of requests that no cache may answer, thousandths of a request' AFTER misses;

-- A view keeps the columns that * meant when it was made.
CREATE OR REPLACE VIEW latency_sketches_latest AS SELECT * FROM latency_sketches FINAL
COMMENT 'Newest DDSketches of edge latency and the cache''s verdicts. Grain: drop, POP, request, pane, partition. Units: by column of latency_sketches. Maturity: column maturity.';

-- drops forgets all versions but the newest. Rows that replace each other by version: a repeated entry leaves one row, and
-- the one that is repeated last wins, as in drops.
CREATE TABLE IF NOT EXISTS drop_versions
(
    drop_id         LowCardinality(String) COMMENT 'drop',
    version         UInt32 COMMENT 'grows',
    at              DateTime64(3, 'UTC') COMMENT 'since when the version holds: event time of the catalogue''s entry',
    starts          DateTime64(3, 'UTC') COMMENT 'start of the drop',
    ends            DateTime64(3, 'UTC') COMMENT 'end of the drop',
    item_sku        Array(String) COMMENT 'items for sale',
    item_price      Array(Int64) COMMENT 'their prices, minor units of item_currency',
    item_currency   Array(String) COMMENT 'ISO 4217',
    item_inventory  Array(UInt64) COMMENT 'pieces for sale; 0: without limit',
    budget          Int64 COMMENT 'edge budget, nano-units of budget_currency; 0: none',
    budget_currency LowCardinality(String) COMMENT 'ISO 4217'
)
ENGINE = ReplacingMergeTree
ORDER BY (drop_id, version)
COMMENT 'Versions of the drop catalogue, older ones too. Grain: drop and version; read it with FINAL. Units: by column. Maturity: final; versions from before migration 0016 that were replaced by then are unknown.';

CREATE MATERIALIZED VIEW IF NOT EXISTS drop_versions_from_drops TO drop_versions AS
SELECT drop_id, version, event_time AS at, starts, ends, item_sku, item_price, item_currency, item_inventory, budget, budget_currency
FROM drops
COMMENT 'Fills drop_versions. Grain: drop and version. Units: as in drop_versions. Maturity: as in drop_versions.';

INSERT INTO drop_versions (drop_id, version, at, starts, ends, item_sku, item_price, item_currency, item_inventory, budget, budget_currency)
SELECT drop_id, version, event_time, starts, ends, item_sku, item_price, item_currency, item_inventory, budget, budget_currency FROM drops;

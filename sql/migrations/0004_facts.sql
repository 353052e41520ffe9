-- Facts: what reports count. They hold no synthetic event and no quarantined clock, and late events do correct them.
--
-- Every materialized view here is idempotent: a record that passes through twice, or in another order, leaves the same
-- answer (replacement by event id, or minima). So a view cannot disagree with its base table for longer than one
-- retry, and can be rebuilt from it at any time by running its own SELECT again. A view is named <target>_from_<source>.

-- Signed money, one row per event id: completed +, refunded −, chargeback −. effective_time is when it happened,
-- original_time when the purchase did (the same for a purchase; 1970-01-01 if a refund does not say).
-- amount_reporting converts at the rate of the purchase day, so that a full refund nets to exactly 0: half-even in
-- integers, rate, source and date kept beside it. NULL: no rate, or no purchase day; report_quality counts those.
-- A resent event loses against its first arrival; a rebuilt row replaces itself.
CREATE TABLE IF NOT EXISTS purchases
(
    player_id   String,
    event_id    UUID,
    type        LowCardinality(String),
    checkout_id String,
    drop_id     LowCardinality(String),
    creator_id  LowCardinality(String),
    pop         LowCardinality(String),
    region      LowCardinality(String),
    sku         LowCardinality(String),
    quantity    UInt32,
    split_version  UInt32,
    effective_time DateTime64(3, 'UTC'),
    original_time  DateTime64(3, 'UTC'),

    amount   Int64,
    currency LowCardinality(String),
    amount_reporting   Nullable(Int64),
    reporting_currency LowCardinality(String),
    rate        Nullable(Decimal(38, 18)),
    rate_source LowCardinality(String),
    rate_date   Nullable(Date),

    kafka_partition UInt32,
    kafka_offset    UInt64,
    version         UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (player_id, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- Rates come in by joins, not by scalar subqueries: the embedded engine cannot run those while it takes an insert in.
CREATE MATERIALIZED VIEW IF NOT EXISTS purchases_from_checkout_events TO purchases AS
SELECT
    player_id,
    event_id,
    type,
    checkout_id,
    drop_id,
    creator_id,
    pop,
    region,
    sku,
    quantity,
    split_version,
    effective_time,
    original_time,
    amount,
    currency,
    if(rated,
       toInt64(quotient + multiIf(2 * abs(remainder) > denominator, sign(amount),
                                  2 * abs(remainder) = denominator AND quotient % 2 != 0, sign(amount), 0)),
       NULL) AS amount_reporting,
    reporting AS reporting_currency,
    if(rated, fx_rate, NULL) AS rate,
    if(rated, fx_source, '') AS rate_source,
    if(rated, if(fx_source = 'identity', rate_day, fx_date), NULL) AS rate_date,
    kafka_partition,
    kafka_offset,
    bitNot(kafka_offset) AS version
FROM
(
    SELECT
        e.player_id AS player_id, e.event_id AS event_id, e.type AS type, e.checkout_id AS checkout_id,
        e.drop_id AS drop_id, e.creator_id AS creator_id, e.pop AS pop, e.region AS region, e.sku AS sku,
        e.quantity AS quantity, e.split_version AS split_version,
        e.effective_time AS effective_time, e.original_time AS original_time,
        e.amount AS amount, e.currency AS currency, e.rate_day AS rate_day,
        e.kafka_partition AS kafka_partition, e.kafka_offset AS kafka_offset, e.reporting AS reporting,
        r.rate AS fx_rate, r.source AS fx_source, r.date AS fx_date,
        r.rate > 0 AND e.original_time > toDateTime64(0, 3, 'UTC') AS rated,
        -- amount · rate · 10^(e_r − e_t) as one exact fraction: rate has 18 decimals.
        toInt256(e.amount) * toInt256(toDecimal256(r.rate, 18) * 1000000000000000000) AS numerator,
        toInt256(exp10(18 + e.exponent - e.reporting_exponent)) AS denominator,
        intDiv(numerator, denominator) AS quotient,
        numerator - quotient * denominator AS remainder
    FROM
    (
        SELECT k.*, c.exponent AS exponent, c.reporting AS reporting, c.reporting_exponent AS reporting_exponent
        FROM
        (
            SELECT
                player_id, id AS event_id, type, checkout_id, drop_id, creator_id, pop, region, sku, quantity, split_version,
                at AS effective_time,
                if(type = 'completed', at, original_time) AS original_time,
                if(type = 'completed', amount, -amount) AS amount,
                currency, toDate(if(type = 'completed', at, original_time)) AS rate_day,
                kafka_partition, kafka_offset
            FROM checkout_events
            WHERE type IN ('completed', 'refunded', 'chargeback') AND NOT synthetic AND NOT quarantined
        ) AS k
        LEFT JOIN reporting_currencies AS c ON c.code = k.currency
    ) AS e
    ASOF LEFT JOIN reporting_rates AS r ON e.currency = r.base AND e.rate_day >= r.date
);

-- Who is a member since when: the first effective time of each player, drop and creator. Qualifying: every player and
-- checkout event. One minimum of a plain time is all that every insert pays for; members derives the rest.
CREATE TABLE IF NOT EXISTS member_activity
(
    player_id  String,
    drop_id    LowCardinality(String),
    creator_id LowCardinality(String),
    first      SimpleAggregateFunction(min, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (player_id, drop_id, creator_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS member_activity_from_player_events TO member_activity AS
SELECT player_id, drop_id, creator_id, min(at) AS first
FROM player_events
WHERE player_id != '' AND NOT synthetic AND NOT quarantined
GROUP BY player_id, drop_id, creator_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS member_activity_from_checkout_events TO member_activity AS
SELECT player_id, drop_id, creator_id, min(at) AS first
FROM checkout_events
WHERE player_id != '' AND NOT synthetic AND NOT quarantined
GROUP BY player_id, drop_id, creator_id;

-- One row per member. first_drop and first_creator are empty for a member without one; ties go to the smaller id, so that
-- they break the same way everywhere.
CREATE VIEW IF NOT EXISTS members AS
SELECT
    player_id,
    min(m.first) AS first_activity,
    argMinIf(toString(m.drop_id), (m.first, m.drop_id), m.drop_id != '') AS first_drop,
    minIf(m.first, m.drop_id != '') AS first_drop_time,
    argMinIf(toString(m.creator_id), (m.first, m.creator_id), m.creator_id != '') AS first_creator,
    minIf(m.first, m.creator_id != '') AS first_creator_time
FROM member_activity AS m
GROUP BY player_id;

-- First times of each funnel step, and the first landing request with its latency, per player and drop. NULL or the far
-- future: not seen.
CREATE TABLE IF NOT EXISTS player_drops
(
    drop_id   LowCardinality(String),
    player_id String,
    landing    SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC'))),
    impression SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC'))),
    click      SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC'))),
    started    SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC'))),
    completed  SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC'))),
    exposure   SimpleAggregateFunction(min, Tuple(at DateTime64(3, 'UTC'), ms Float64, pop String))
)
ENGINE = AggregatingMergeTree
ORDER BY (drop_id, player_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS player_drops_from_player_events TO player_drops AS
SELECT
    drop_id,
    player_id,
    minOrNullIf(at, type = 'landing_view') AS landing,
    minOrNullIf(at, type = 'offer_impression') AS impression,
    minOrNullIf(at, type = 'offer_click') AS click,
    CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS started,
    CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS completed,
    (toDateTime64('2299-01-01', 3, 'UTC'), 0., '') AS exposure
FROM player_events
WHERE player_id != '' AND drop_id != '' AND NOT synthetic AND NOT quarantined
  AND type IN ('landing_view', 'offer_impression', 'offer_click')
GROUP BY drop_id, player_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS player_drops_from_checkout_events TO player_drops AS
SELECT
    drop_id,
    player_id,
    CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS landing,
    CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS impression,
    CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS click,
    minOrNullIf(at, type = 'started') AS started,
    minOrNullIf(at, type = 'completed') AS completed,
    (toDateTime64('2299-01-01', 3, 'UTC'), 0., '') AS exposure
FROM checkout_events
WHERE player_id != '' AND drop_id != '' AND NOT synthetic AND NOT quarantined AND type IN ('started', 'completed')
GROUP BY drop_id, player_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS player_drops_from_latency_events TO player_drops AS
SELECT
    drop_id,
    player_id,
    CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS landing,
    CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS impression,
    CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS click,
    CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS started,
    CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS completed,
    min((at, ms, toString(pop))) AS exposure
FROM latency_events
WHERE player_id != '' AND drop_id != '' AND NOT synthetic AND NOT quarantined AND request = 'landing'
GROUP BY drop_id, player_id;

-- The watermark that the stored events give: per partition the newest effective time minus 10 s of out-of-orderness minus
-- 1 ms. A partition that took in nothing during the last hour of arrivals counts as idle.
CREATE VIEW IF NOT EXISTS watermarks AS
SELECT topic, kafka_partition, fromUnixTimestamp64Milli(toUnixTimestamp64Milli(newest) - 10001, 'UTC') AS watermark,
       arrived < max(arrived) OVER () - INTERVAL 1 HOUR AS idle
FROM
(
    SELECT 'player' AS topic, kafka_partition, max(at) AS newest, max(kafka_time) AS arrived
    FROM player_events WHERE NOT quarantined GROUP BY kafka_partition
    UNION ALL
    SELECT 'checkout' AS topic, kafka_partition, max(at) AS newest, max(kafka_time) AS arrived
    FROM checkout_events WHERE NOT quarantined GROUP BY kafka_partition
);

-- Conversions within [t − window_ms, t) for every hop t of a drop, from the processors' panes; hop_ms is a multiple of the
-- pane, window_ms of hop_ms. t runs to the newest pane that any partition has published.
CREATE VIEW IF NOT EXISTS conversion_velocity AS
WITH
    panes AS
    (
        SELECT toUnixTimestamp64Milli(pane_start) AS pane, max(v.pane_ms) AS width, sum(v.conversions) AS conversions, countIf(v.maturity != 'final') AS provisional
        FROM velocity_latest AS v
        WHERE v.drop_id = {drop:String}
        GROUP BY pane
    ),
    windows AS
    (
        SELECT tick, sum(p.conversions) AS conversions, sum(p.provisional) AS provisional
        FROM
        (
            SELECT conversions, provisional,
                   arrayJoin(range(toUInt64(intDiv(pane + width + {hop_ms:Int64} - 1, {hop_ms:Int64})),
                                   toUInt64(intDiv(pane + {window_ms:Int64}, {hop_ms:Int64}) + 1))) AS tick
            FROM panes
        ) AS p
        GROUP BY tick
    ),
    ticks AS
    (
        SELECT d.starts AS starts, d.ends AS ends,
               arrayJoin(range(toUInt64(intDiv(toUnixTimestamp64Milli(d.starts), {hop_ms:Int64}) + 1),
                               toUInt64(intDiv(least(toUnixTimestamp64Milli(d.ends), newest), {hop_ms:Int64}) + 1))) AS tick
        FROM (SELECT starts, ends FROM drops FINAL WHERE drop_id = {drop:String}) AS d
        CROSS JOIN (SELECT max(pane + width) AS newest FROM panes) AS n
        WHERE newest > toUnixTimestamp64Milli(d.starts)
    )
SELECT
    fromUnixTimestamp64Milli(toInt64(t0.tick) * {hop_ms:Int64}, 'UTC') AS t,
    t0.starts AS starts,
    t0.ends AS ends,
    w.conversions AS conversions,
    if(w.provisional > 0, 'provisional', 'final') AS maturity
FROM ticks AS t0
LEFT JOIN windows AS w ON w.tick = t0.tick;

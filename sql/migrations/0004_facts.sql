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
    player_id   String COMMENT 'pseudonym of the buyer',
    event_id    UUID COMMENT 'id of the checkout event',
    type        LowCardinality(String) COMMENT 'completed, refunded or chargeback',
    checkout_id String COMMENT 'which checkout it belongs to',
    drop_id     LowCardinality(String) COMMENT 'drop; empty outside of one',
    creator_id  LowCardinality(String),
    pop         LowCardinality(String),
    region      LowCardinality(String),
    sku         LowCardinality(String),
    quantity    UInt32 COMMENT 'items',
    split_version  UInt32 COMMENT 'version of the drop''s shares that settles it',
    effective_time DateTime64(3, 'UTC') COMMENT 'when it happened',
    original_time  DateTime64(3, 'UTC') COMMENT 'when the purchase did; 1970-01-01 if a refund does not say',

    amount   Int64 COMMENT 'signed, minor units of currency',
    currency LowCardinality(String) COMMENT 'ISO 4217',
    amount_reporting   Nullable(Int64) COMMENT 'signed, minor units of reporting_currency; NULL without a rate',
    reporting_currency LowCardinality(String),
    rate        Nullable(Decimal(38, 18)) COMMENT 'one unit of currency in reporting_currency on rate_date',
    rate_source LowCardinality(String),
    rate_date   Nullable(Date),

    kafka_partition UInt32,
    kafka_offset    UInt64,
    version         UInt64 COMMENT 'the first arrival of an event id wins'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (player_id, event_id)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Signed money: completed +, refunded -, chargeback -. Grain: one row per event id, once merged; read it with FINAL. Units: amount in minor units of currency, amount_reporting in minor units of reporting_currency at the rate of the purchase day, NULL without one. Maturity: append-only; refunds and chargebacks may follow.';

-- Rates come in by joins, not by scalar subqueries: the embedded engine cannot run those while it takes an insert in. What
-- an insert of a few rows pays for is planning, so there are as few scans and joins as the result allows: one row with the
-- reporting currency and its exponent, the currencies, and the rates themselves.
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
    if(known, reporting, '') AS reporting_currency,
    if(rated, fx_rate, NULL) AS rate,
    if(rated, fx_source, '') AS rate_source,
    if(rated, fx_date, NULL) AS rate_date,
    kafka_partition,
    kafka_offset,
    bitNot(kafka_offset) AS version
FROM
(
    SELECT
        e.*,
        e.currency = e.reporting AS same,
        if(same, toDecimal128(1, 18), r.rate) AS fx_rate,
        if(same, 'identity', toString(r.source)) AS fx_source,
        if(same, e.rate_day, r.date) AS fx_date,
        fx_rate > 0 AND e.original_time > toDateTime64(0, 3, 'UTC') AS rated,
        -- amount · rate · 10^(e_r − e_t) as one exact fraction: rate has 18 decimals.
        toInt256(e.amount) * toInt256(toDecimal256(fx_rate, 18) * 1000000000000000000) AS numerator,
        toInt256(exp10(18 + e.shift)) AS denominator,
        intDiv(numerator, denominator) AS quotient,
        numerator - quotient * denominator AS remainder
    FROM
    (
        SELECT
            k.player_id AS player_id, k.id AS event_id, k.type AS type, k.checkout_id AS checkout_id, k.drop_id AS drop_id,
            k.creator_id AS creator_id, k.pop AS pop, k.region AS region, k.sku AS sku, k.quantity AS quantity,
            k.split_version AS split_version,
            k.at AS effective_time,
            if(k.type = 'completed', k.at, k.original_time) AS original_time,
            if(k.type = 'completed', k.amount, -k.amount) AS amount,
            k.currency AS currency, toDate(if(k.type = 'completed', k.at, k.original_time)) AS rate_day,
            k.kafka_partition AS kafka_partition, k.kafka_offset AS kafka_offset,
            t.reporting AS reporting,
            c.listed AND t.listed AS known,
            if(known, c.exponent - t.reporting_exponent, 0) AS shift
        FROM checkout_events AS k
        CROSS JOIN
        (
            SELECT
                argMaxIf(value, changed_at, name = 'reporting_currency') AS reporting,
                mapFromArrays(groupArrayIf(code, code != ''), groupArrayIf(exponent, code != '')) AS exponents,
                mapContains(exponents, reporting) AS listed,
                exponents[reporting] AS reporting_exponent
            FROM
            (
                SELECT name, value, changed_at, '' AS code, toUInt8(0) AS exponent FROM settings
                UNION ALL
                SELECT '' AS name, '' AS value, toDateTime64(0, 3, 'UTC') AS changed_at, toString(code) AS code, exponent
                FROM currencies FINAL
            )
        ) AS t
        LEFT JOIN (SELECT code, exponent, true AS listed FROM currencies FINAL) AS c ON c.code = k.currency
        WHERE k.type IN ('completed', 'refunded', 'chargeback') AND NOT k.synthetic AND NOT k.quarantined
    ) AS e
    ASOF LEFT JOIN (SELECT base, quote, date, rate, source FROM fx_rates FINAL) AS r
    ON e.currency = r.base AND e.reporting = r.quote AND e.rate_day >= r.date
)
COMMENT 'Fills purchases. Grain: one row per event id. Units: as in purchases. Maturity: as in purchases.';

-- Who is a member since when: the first effective time of each player, drop and creator. Qualifying: every player and
-- checkout event. One minimum of a plain time is all that every insert pays for; members derives the rest.
CREATE TABLE IF NOT EXISTS member_activity
(
    player_id  String,
    drop_id    LowCardinality(String),
    creator_id LowCardinality(String),
    first      SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'earliest effective time of any player or checkout event'
)
ENGINE = AggregatingMergeTree
ORDER BY (player_id, drop_id, creator_id)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'First activity. Grain: player, drop and creator, once merged; aggregate it with min. Units: first in UTC. Maturity: moves back only, when a late event is earlier.';

CREATE MATERIALIZED VIEW IF NOT EXISTS member_activity_from_player_events TO member_activity AS
SELECT player_id, drop_id, creator_id, min(at) AS first
FROM player_events
WHERE player_id != '' AND NOT synthetic AND NOT quarantined
GROUP BY player_id, drop_id, creator_id
COMMENT 'Fills member_activity. Grain: player, drop and creator. Units: as in member_activity. Maturity: as in member_activity.';

CREATE MATERIALIZED VIEW IF NOT EXISTS member_activity_from_checkout_events TO member_activity AS
SELECT player_id, drop_id, creator_id, min(at) AS first
FROM checkout_events
WHERE player_id != '' AND NOT synthetic AND NOT quarantined
GROUP BY player_id, drop_id, creator_id
COMMENT 'Fills member_activity. Grain: player, drop and creator. Units: as in member_activity. Maturity: as in member_activity.';

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
GROUP BY player_id
COMMENT 'Who is a member since when, and by what. Grain: player. Units: times in UTC; first_drop and first_creator are empty without one. Maturity: moves back only, when a late event is earlier.';

-- First times of each funnel step, and the first landing request with its latency, per player and drop. NULL or the far
-- future: not seen.
CREATE TABLE IF NOT EXISTS player_drops
(
    drop_id   LowCardinality(String),
    player_id String,
    landing    SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC'))) COMMENT 'first landing view',
    impression SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC'))) COMMENT 'first impression of an offer',
    click      SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC'))) COMMENT 'first click on an offer',
    started    SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC'))) COMMENT 'first checkout started',
    completed  SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC'))) COMMENT 'first checkout completed',
    exposure   SimpleAggregateFunction(min, Tuple(at DateTime64(3, 'UTC'), ms Float64, pop String)) COMMENT 'first landing request: time, latency in ms, POP; the far future without one'
)
ENGINE = AggregatingMergeTree
ORDER BY (drop_id, player_id)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'First times of each funnel step and the first landing request. Grain: player and drop, once merged; aggregate it with min. Units: times in UTC, exposure.ms in milliseconds. Maturity: moves back only, when a late event is earlier.';

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
GROUP BY drop_id, player_id
COMMENT 'Fills player_drops. Grain: player and drop. Units: as in player_drops. Maturity: as in player_drops.';

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
GROUP BY drop_id, player_id
COMMENT 'Fills player_drops. Grain: player and drop. Units: as in player_drops. Maturity: as in player_drops.';

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
GROUP BY drop_id, player_id
COMMENT 'Fills player_drops. Grain: player and drop. Units: as in player_drops. Maturity: as in player_drops.';

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
)
COMMENT 'How far the stored events reach. Grain: topic and Kafka partition. Units: watermark in UTC: newest effective time less 10.001 s. Maturity: as of now; idle partitions took in nothing for an hour of arrivals.';

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
LEFT JOIN windows AS w ON w.tick = t0.tick
COMMENT 'Conversions in a sliding window. Grain: hop of one drop. Units: conversions within [t - window_ms, t); parameters drop, window_ms, hop_ms. Maturity: column maturity.';

-- Reference data that conversion into the reporting currency rests on.

-- ISO 4217 exponents: how many decimals the minor unit has.
CREATE TABLE IF NOT EXISTS currencies
(
    code     LowCardinality(String),
    exponent UInt8
)
ENGINE = ReplacingMergeTree ORDER BY code
COMMENT 'ISO 4217. Grain: currency. Units: exponent is the number of decimals of the minor unit. Maturity: reference data.';

INSERT INTO currencies (code, exponent) VALUES
    ('AED', 2), ('AFN', 2), ('ALL', 2), ('AMD', 2), ('ANG', 2), ('AOA', 2), ('ARS', 2), ('AUD', 2), ('AWG', 2), ('AZN', 2),
    ('BAM', 2), ('BBD', 2), ('BDT', 2), ('BGN', 2), ('BHD', 3), ('BIF', 0), ('BMD', 2), ('BND', 2), ('BOB', 2), ('BOV', 2),
    ('BRL', 2), ('BSD', 2), ('BTN', 2), ('BWP', 2), ('BYN', 2), ('BZD', 2), ('CAD', 2), ('CDF', 2), ('CHE', 2), ('CHF', 2),
    ('CHW', 2), ('CLF', 4), ('CLP', 0), ('CNY', 2), ('COP', 2), ('COU', 2), ('CRC', 2), ('CUP', 2), ('CVE', 2), ('CZK', 2),
    ('DJF', 0), ('DKK', 2), ('DOP', 2), ('DZD', 2), ('EGP', 2), ('ERN', 2), ('ETB', 2), ('EUR', 2), ('FJD', 2), ('FKP', 2),
    ('GBP', 2), ('GEL', 2), ('GHS', 2), ('GIP', 2), ('GMD', 2), ('GNF', 0), ('GTQ', 2), ('GYD', 2), ('HKD', 2), ('HNL', 2),
    ('HTG', 2), ('HUF', 2), ('IDR', 2), ('ILS', 2), ('INR', 2), ('IQD', 3), ('IRR', 2), ('ISK', 0), ('JMD', 2), ('JOD', 3),
    ('JPY', 0), ('KES', 2), ('KGS', 2), ('KHR', 2), ('KMF', 0), ('KPW', 2), ('KRW', 0), ('KWD', 3), ('KYD', 2), ('KZT', 2),
    ('LAK', 2), ('LBP', 2), ('LKR', 2), ('LRD', 2), ('LSL', 2), ('LYD', 3), ('MAD', 2), ('MDL', 2), ('MGA', 2), ('MKD', 2),
    ('MMK', 2), ('MNT', 2), ('MOP', 2), ('MRU', 2), ('MUR', 2), ('MVR', 2), ('MWK', 2), ('MXN', 2), ('MXV', 2), ('MYR', 2),
    ('MZN', 2), ('NAD', 2), ('NGN', 2), ('NIO', 2), ('NOK', 2), ('NPR', 2), ('NZD', 2), ('OMR', 3), ('PAB', 2), ('PEN', 2),
    ('PGK', 2), ('PHP', 2), ('PKR', 2), ('PLN', 2), ('PYG', 0), ('QAR', 2), ('RON', 2), ('RSD', 2), ('RUB', 2), ('RWF', 0),
    ('SAR', 2), ('SBD', 2), ('SCR', 2), ('SDG', 2), ('SEK', 2), ('SGD', 2), ('SHP', 2), ('SLE', 2), ('SOS', 2), ('SRD', 2),
    ('SSP', 2), ('STN', 2), ('SVC', 2), ('SYP', 2), ('SZL', 2), ('THB', 2), ('TJS', 2), ('TMT', 2), ('TND', 3), ('TOP', 2),
    ('TRY', 2), ('TTD', 2), ('TWD', 2), ('TZS', 2), ('UAH', 2), ('UGX', 0), ('USD', 2), ('USN', 2), ('UYI', 0), ('UYU', 2),
    ('UYW', 4), ('UZS', 2), ('VED', 2), ('VES', 2), ('VND', 0), ('VUV', 0), ('WST', 2), ('XAF', 0), ('XCD', 2), ('XOF', 0),
    ('XPF', 0), ('YER', 2), ('ZAR', 2), ('ZMW', 2), ('ZWG', 2);

-- Operator's choices that SQL needs. reporting_currency: what every amount_reporting is in; after a change, rebuild purchases.
CREATE TABLE IF NOT EXISTS settings
(
    name       String COMMENT 'reporting_currency',
    value      String COMMENT 'its value',
    changed_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'the newest counts'
)
ENGINE = ReplacingMergeTree(changed_at) ORDER BY name
COMMENT 'The operator''s choices that SQL needs. Grain: setting. Units: text. Maturity: the newest changed_at counts.';

INSERT INTO settings (name, value) VALUES ('reporting_currency', 'USD');

-- One unit of base buys rate units of quote on date. A purchase takes the newest rate at or before its day; after loading
-- rates for days that have purchases already, rebuild purchases.
CREATE TABLE IF NOT EXISTS fx_rates
(
    date      Date,
    base      LowCardinality(String) COMMENT 'currency of which one unit is bought',
    quote     LowCardinality(String) COMMENT 'currency in which the rate is',
    rate      Decimal(38, 18) COMMENT 'units of quote for one unit of base',
    source    LowCardinality(String) COMMENT 'where the rate is from; demo ones are made up',
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(loaded_at) ORDER BY (base, quote, date)
COMMENT 'Exchange rates. Grain: base, quote and date. Units: one unit of base buys rate units of quote. Maturity: reference data; the newest loaded_at counts.';

-- Made-up round figures, so that a demo has a total to show: source 'demo', dated before any event. They are no
-- market rates. Loading real ones (any later date) supersedes them; report_quality counts the rows still resting on them.
INSERT INTO fx_rates (date, base, quote, rate, source) VALUES
    ('1970-01-01', 'EUR', 'USD', 1.10, 'demo'),
    ('1970-01-01', 'GBP', 'USD', 1.30, 'demo'),
    ('1970-01-01', 'JPY', 'USD', 0.0067, 'demo'),
    ('1970-01-01', 'KWD', 'USD', 3.25, 'demo'),
    ('1970-01-01', 'BRL', 'USD', 0.18, 'demo'),
    ('1970-01-01', 'INR', 'USD', 0.012, 'demo'),
    ('1970-01-01', 'KRW', 'USD', 0.00072, 'demo'),
    ('1970-01-01', 'MXN', 'USD', 0.055, 'demo'),
    ('1970-01-01', 'CAD', 'USD', 0.73, 'demo'),
    ('1970-01-01', 'AUD', 'USD', 0.66, 'demo'),
    ('1970-01-01', 'CHF', 'USD', 1.15, 'demo'),
    ('1970-01-01', 'IDR', 'USD', 0.000062, 'demo');

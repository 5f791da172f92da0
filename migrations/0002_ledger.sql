-- The ledger: one row a distinct click, everything that is needed to count again.
CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TYPE disposition AS ENUM ('valid', 'duplicate', 'givt', 'sivt', 'test', 'defective');

CREATE TABLE clicks (
    click_id      uuid        NOT NULL,
    -- The time the click is counted under: the client's, or received_at where that was impossible.
    clicked_at    timestamptz NOT NULL,
    received_at   timestamptz NOT NULL,
    advertiser_id text        NOT NULL,
    campaign_id   text        NOT NULL,
    ad_id         text        NOT NULL,
    country       text        NOT NULL,
    device_type   text        NOT NULL,
    os            text,
    browser       text,
    user_id       text,
    ip_hash       bytea,
    disposition   disposition NOT NULL,
    -- Why it is not valid, and the version of the rule that said so.
    rule          text,
    rule_version  integer,
    stream_seq    bigint      NOT NULL,
    -- A unique index must contain the partitioning column. The same id under another time is found
    -- by looking the id up first: see aggregator/src/ledger.rs.
    PRIMARY KEY (click_id, clicked_at)
);
SELECT create_hypertable('clicks', by_range('clicked_at', INTERVAL '1 day'), create_default_indexes => false);

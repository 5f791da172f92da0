-- Unique users: HyperLogLog sketches (crates/uniques), merged by the programs, never added up.
--
-- A batch writes the sketches of its minutes, which are small; housekeeping folds them into hours,
-- which are not. So a campaign's hour of eight kilobytes is written once a minute, not once a batch.
-- What is asked about hours is these and the minutes that are not folded yet.
CREATE TABLE unique_minutes (
    bucket        timestamptz NOT NULL,
    advertiser_id text        NOT NULL,
    campaign_id   text        NOT NULL,
    -- Its hour holds everybody in it.
    folded        boolean     NOT NULL DEFAULT false,
    -- Hashes don't compress.
    sketch        bytea       STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (advertiser_id, bucket, campaign_id)
);
SELECT create_hypertable('unique_minutes', by_range('bucket', INTERVAL '1 day'), create_default_indexes => false);
CREATE INDEX unique_minutes_to_fold ON unique_minutes (advertiser_id, campaign_id, bucket) WHERE NOT folded;

CREATE TABLE unique_hours (
    bucket        timestamptz NOT NULL,
    advertiser_id text        NOT NULL,
    campaign_id   text        NOT NULL,
    sketch        bytea       STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (advertiser_id, bucket, campaign_id)
);
SELECT create_hypertable('unique_hours', by_range('bucket', INTERVAL '7 days'), create_default_indexes => false);

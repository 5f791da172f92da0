-- Buckets: counts per disposition. In every bucket, received is the sum of the six.
CREATE TABLE click_minutes (
    bucket        timestamptz NOT NULL,
    advertiser_id text        NOT NULL,
    campaign_id   text        NOT NULL,
    ad_id         text        NOT NULL,
    country       text        NOT NULL,
    device_type   text        NOT NULL,
    valid         bigint      NOT NULL DEFAULT 0,
    duplicate     bigint      NOT NULL DEFAULT 0,
    givt          bigint      NOT NULL DEFAULT 0,
    sivt          bigint      NOT NULL DEFAULT 0,
    test          bigint      NOT NULL DEFAULT 0,
    defective     bigint      NOT NULL DEFAULT 0,
    -- Grows with every change, so that of two copies of a row the newer can be told.
    version       bigint      NOT NULL DEFAULT 1,
    -- The advertiser first: every question is about one.
    PRIMARY KEY (advertiser_id, bucket, campaign_id, ad_id, country, device_type)
);
SELECT create_hypertable('click_minutes', by_range('bucket', INTERVAL '1 day'), create_default_indexes => false);
-- What hours are refreshed from, and retention drops, goes by time alone.
CREATE INDEX click_minutes_by_bucket ON click_minutes (bucket DESC);

-- Hours and days. Under the community licence continuous aggregates: real-time (what is not yet
-- materialised is computed from below) and hierarchical. Under the Apache licence, which has none,
-- views of the same names and columns: right, slower.
--
-- The windows fit into each other, or a refresh would rewrite an hour from what retention left of
-- its minutes:  horizon 1 day + stream 7 days  <  start_offset 10 days  <  retention of minutes.
DO $$
DECLARE
    hours text := $q$
        SELECT time_bucket(INTERVAL '1 hour', bucket) AS bucket,
               advertiser_id, campaign_id, ad_id, country, device_type,
               sum(valid)::bigint AS valid, sum(duplicate)::bigint AS duplicate,
               sum(givt)::bigint AS givt, sum(sivt)::bigint AS sivt,
               sum(test)::bigint AS test, sum(defective)::bigint AS defective
          FROM click_minutes
         GROUP BY 1, 2, 3, 4, 5, 6 $q$;
    days text := replace(replace(hours, '1 hour', '1 day'), 'click_minutes', 'click_hours');
BEGIN
    IF current_setting('timescaledb.license') = 'timescale' THEN
        EXECUTE 'CREATE MATERIALIZED VIEW click_hours WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS '
            || hours || ' WITH NO DATA';
        EXECUTE 'CREATE MATERIALIZED VIEW click_days WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS '
            || days || ' WITH NO DATA';
        -- A continuous aggregate's own index has the bucket first.
        EXECUTE 'CREATE INDEX ON click_hours (advertiser_id, bucket)';
        EXECUTE 'CREATE INDEX ON click_days (advertiser_id, bucket)';
        -- In one piece: in batches a refresh leaves some changed buckets for its next run
        -- (seen on 2.23, compare https://github.com/timescale/timescaledb/issues/10221).
        PERFORM add_continuous_aggregate_policy('click_hours', buckets_per_batch => 0,
            start_offset => INTERVAL '10 days', end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '1 minute');
        PERFORM add_continuous_aggregate_policy('click_days', buckets_per_batch => 0,
            start_offset => INTERVAL '10 days', end_offset => INTERVAL '1 day', schedule_interval => INTERVAL '5 minutes');

        -- Behind everything that may still change.
        EXECUTE $q$ ALTER TABLE clicks SET (timescaledb.compress, timescaledb.compress_segmentby = 'advertiser_id',
            timescaledb.compress_orderby = 'clicked_at, click_id') $q$;
        EXECUTE $q$ ALTER TABLE click_minutes SET (timescaledb.compress, timescaledb.compress_segmentby = 'advertiser_id',
            timescaledb.compress_orderby = 'bucket, campaign_id, ad_id, country, device_type') $q$;
        PERFORM add_compression_policy('clicks', INTERVAL '12 days');
        PERFORM add_compression_policy('click_minutes', INTERVAL '12 days');
    ELSE
        EXECUTE 'CREATE VIEW click_hours AS ' || hours;
        EXECUTE 'CREATE VIEW click_days AS ' || days;
    END IF;
END
$$;

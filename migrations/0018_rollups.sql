-- Hours and days: roll-ups of our own, the same under both licences of TimescaleDB, and equal to the
-- minutes in every snapshot. Why not continuous aggregates: ARCHITECTURE.md, "Hours and days".
--
-- What is stored is used where it is known to be right; everything else the views below add up from
-- the minutes, in the same snapshot. Known to be right is an hour before `hours_before` that is not in
-- `stale_hours`. Plain tables, not hypertables: a query that was planned before a chunk was made does not look
-- into it, though its snapshot says that the hours are stored there.
CREATE TABLE hour_counts (
    bucket        timestamptz NOT NULL,
    advertiser_id text        NOT NULL,
    campaign_id   text        NOT NULL,
    ad_id         text        NOT NULL,
    country       text        NOT NULL,
    device_type   text        NOT NULL,
    valid         bigint      NOT NULL,
    duplicate     bigint      NOT NULL,
    givt          bigint      NOT NULL,
    sivt          bigint      NOT NULL,
    test          bigint      NOT NULL,
    defective     bigint      NOT NULL,
    PRIMARY KEY (advertiser_id, bucket, campaign_id, ad_id, country, device_type)
);
CREATE TABLE day_counts (LIKE hour_counts INCLUDING ALL);
-- For questions about all advertisers, and for retention.
CREATE INDEX hour_counts_by_bucket ON hour_counts (bucket);
CREATE INDEX day_counts_by_bucket ON day_counts (bucket);

-- How far the minutes are rolled up. One row, which only the roll-up task changes (aggregator/src/ledger/rollups).
CREATE TABLE rollup_progress (
    only_row      boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Hours before it are stored, and days before the other.
    hours_before  timestamptz NOT NULL CHECK (hours_before = date_trunc('hour', hours_before, 'UTC')),
    days_before   timestamptz NOT NULL CHECK (days_before = date_trunc('day', days_before, 'UTC')),
    -- Whoever changes minutes before it leaves a mark. Ahead of hours_before while these hours are being
    -- stored: see settled_after.
    marks_before  timestamptz NOT NULL CHECK (marks_before = date_trunc('hour', marks_before, 'UTC')),
    -- A snapshot in which every transaction below this one has ended holds all changes whose authors may
    -- not have known of marks_before, and so left no mark. NULL: to be found out.
    settled_after xid8,
    -- Retention has dropped minutes before it; their roll-ups stay as they are.
    minutes_from  timestamptz NOT NULL,
    CHECK (days_before <= hours_before AND hours_before <= marks_before)
);

-- Stored hours whose minutes have changed since, in the transaction that changed them. Rows are only ever
-- added, except by the roll-up task: no writer waits for another, nor for the task.
CREATE TABLE stale_hours (
    advertiser_id text        NOT NULL,
    bucket        timestamptz NOT NULL,
    day           timestamptz NOT NULL,
    stale_since   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX stale_hours_by_bucket ON stale_hours (advertiser_id, bucket);

-- Rows that only continuous aggregates still have, because retention has dropped their minutes, are taken
-- over; all others are added up anew, in the background, beginning at hours_before.
DO $$
DECLARE
    first_chunk timestamptz := (SELECT min(range_start) FROM timescaledb_information.chunks
                                 WHERE hypertable_schema = 'public' AND hypertable_name = 'click_minutes');
    begins timestamptz := date_trunc('hour', coalesce(first_chunk, date_trunc('day', now(), 'UTC')), 'UTC');
BEGIN
    INSERT INTO hour_counts SELECT bucket, advertiser_id, campaign_id, ad_id, country, device_type,
        valid, duplicate, givt, sivt, test, defective FROM click_hours WHERE bucket < begins;
    INSERT INTO day_counts SELECT bucket, advertiser_id, campaign_id, ad_id, country, device_type,
        valid, duplicate, givt, sivt, test, defective FROM click_days WHERE bucket < date_trunc('day', begins, 'UTC');
    INSERT INTO rollup_progress (hours_before, days_before, marks_before, minutes_from)
        VALUES (begins, date_trunc('day', begins, 'UTC'), begins, coalesce(first_chunk, 'epoch'));
END
$$;

-- Under READ COMMITTED this reads rollup_progress as it is after the minutes were written, so an author that
-- still sees an older marks_before has a transaction number by then, and is waited for. A transaction that
-- reads in an older snapshot than it writes marks everything.
CREATE FUNCTION mark_stale_hours() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.stale_hours (advertiser_id, bucket, day)
    SELECT DISTINCT c.advertiser_id, date_trunc('hour', c.bucket, 'UTC'), date_trunc('day', c.bucket, 'UTC')
      FROM changed AS c, public.rollup_progress AS p
     WHERE c.bucket >= p.minutes_from
       AND (c.bucket < p.marks_before OR current_setting('transaction_isolation') <> 'read committed');
    RETURN NULL;
END
$$;
CREATE TRIGGER marks_inserted AFTER INSERT ON click_minutes
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_stale_hours();
CREATE TRIGGER marks_updated AFTER UPDATE ON click_minutes
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_stale_hours();
-- Nothing of ours deletes minutes, and where there is compression TimescaleDB refuses transition tables for it.
CREATE FUNCTION mark_stale_hour() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.stale_hours (advertiser_id, bucket, day)
    SELECT OLD.advertiser_id, date_trunc('hour', OLD.bucket, 'UTC'), date_trunc('day', OLD.bucket, 'UTC')
      FROM public.rollup_progress AS p
     WHERE OLD.bucket >= p.minutes_from
       AND (OLD.bucket < p.marks_before OR current_setting('transaction_isolation') <> 'read committed');
    RETURN NULL;
END
$$;
CREATE TRIGGER marks_deleted AFTER DELETE ON click_minutes FOR EACH ROW EXECUTE FUNCTION mark_stale_hour();

-- The views go under the names that continuous aggregates had, or views that added up everything.
DROP VIEW tenants.click_hours, tenants.click_days;
DO $$
BEGIN
    IF EXISTS (SELECT FROM timescaledb_information.continuous_aggregates
                WHERE view_schema = 'public' AND view_name = 'click_hours') THEN
        DROP MATERIALIZED VIEW click_days;
        DROP MATERIALIZED VIEW click_hours;
    ELSE
        DROP VIEW click_days, click_hours;
    END IF;
END
$$;

-- LATERAL sub-queries that group are probed by index for each of the few stale hours, whatever the planner
-- believes their number to be; and `time_bucket` of the minute's own column lets a range that is asked for
-- leave out chunks.
CREATE VIEW click_hours AS
    SELECT h.bucket, h.advertiser_id, h.campaign_id, h.ad_id, h.country, h.device_type,
           h.valid, h.duplicate, h.givt, h.sivt, h.test, h.defective
      FROM hour_counts AS h
     WHERE h.bucket < (SELECT hours_before FROM rollup_progress)
       AND NOT EXISTS (SELECT FROM stale_hours AS s WHERE s.advertiser_id = h.advertiser_id AND s.bucket = h.bucket)
    UNION ALL
    SELECT time_bucket(INTERVAL '1 hour', m.bucket), m.advertiser_id, m.campaign_id, m.ad_id, m.country, m.device_type,
           sum(m.valid)::bigint, sum(m.duplicate)::bigint, sum(m.givt)::bigint, sum(m.sivt)::bigint,
           sum(m.test)::bigint, sum(m.defective)::bigint
      FROM click_minutes AS m
     WHERE m.bucket >= (SELECT hours_before FROM rollup_progress)
     GROUP BY 1, 2, 3, 4, 5, 6
    UNION ALL
    SELECT m.bucket, s.advertiser_id, m.campaign_id, m.ad_id, m.country, m.device_type,
           m.valid, m.duplicate, m.givt, m.sivt, m.test, m.defective
      FROM (SELECT DISTINCT advertiser_id, bucket FROM stale_hours
             WHERE bucket < (SELECT hours_before FROM rollup_progress)) AS s
     CROSS JOIN LATERAL (
           SELECT time_bucket(INTERVAL '1 hour', m.bucket) AS bucket, m.campaign_id, m.ad_id, m.country, m.device_type,
                  sum(m.valid)::bigint AS valid, sum(m.duplicate)::bigint AS duplicate, sum(m.givt)::bigint AS givt,
                  sum(m.sivt)::bigint AS sivt, sum(m.test)::bigint AS test, sum(m.defective)::bigint AS defective
             FROM click_minutes AS m
            WHERE m.advertiser_id = s.advertiser_id AND m.bucket >= s.bucket AND m.bucket < s.bucket + INTERVAL '1 hour'
            GROUP BY 1, 2, 3, 4, 5) AS m;

CREATE VIEW click_days AS
    SELECT d.bucket, d.advertiser_id, d.campaign_id, d.ad_id, d.country, d.device_type,
           d.valid, d.duplicate, d.givt, d.sivt, d.test, d.defective
      FROM day_counts AS d
     WHERE d.bucket < (SELECT days_before FROM rollup_progress)
       AND NOT EXISTS (SELECT FROM stale_hours AS s WHERE s.advertiser_id = d.advertiser_id AND s.day = d.bucket)
    UNION ALL
    SELECT p.bucket, p.advertiser_id, p.campaign_id, p.ad_id, p.country, p.device_type,
           sum(p.valid)::bigint, sum(p.duplicate)::bigint, sum(p.givt)::bigint, sum(p.sivt)::bigint,
           sum(p.test)::bigint, sum(p.defective)::bigint
      FROM (
        -- Stored hours of days that are not stored.
        SELECT time_bucket(INTERVAL '1 day', h.bucket) AS bucket, h.advertiser_id, h.campaign_id, h.ad_id, h.country,
               h.device_type, h.valid, h.duplicate, h.givt, h.sivt, h.test, h.defective
          FROM hour_counts AS h
         WHERE h.bucket >= (SELECT days_before FROM rollup_progress)
           AND h.bucket < (SELECT hours_before FROM rollup_progress)
           AND NOT EXISTS (SELECT FROM stale_hours AS s WHERE s.advertiser_id = h.advertiser_id AND s.bucket = h.bucket)
        UNION ALL
        -- Minutes of hours that are not stored.
        SELECT time_bucket(INTERVAL '1 day', m.bucket), m.advertiser_id, m.campaign_id, m.ad_id, m.country,
               m.device_type, m.valid, m.duplicate, m.givt, m.sivt, m.test, m.defective
          FROM click_minutes AS m
         WHERE m.bucket >= (SELECT hours_before FROM rollup_progress)
        UNION ALL
        -- Minutes of stale hours.
        SELECT m.bucket, s.advertiser_id, m.campaign_id, m.ad_id, m.country, m.device_type,
               m.valid, m.duplicate, m.givt, m.sivt, m.test, m.defective
          FROM (SELECT DISTINCT advertiser_id, bucket FROM stale_hours
                 WHERE bucket < (SELECT hours_before FROM rollup_progress)) AS s
         CROSS JOIN LATERAL (
               SELECT time_bucket(INTERVAL '1 day', m.bucket) AS bucket, m.campaign_id, m.ad_id, m.country, m.device_type,
                      sum(m.valid)::bigint AS valid, sum(m.duplicate)::bigint AS duplicate, sum(m.givt)::bigint AS givt,
                      sum(m.sivt)::bigint AS sivt, sum(m.test)::bigint AS test, sum(m.defective)::bigint AS defective
                 FROM click_minutes AS m
                WHERE m.advertiser_id = s.advertiser_id AND m.bucket >= s.bucket AND m.bucket < s.bucket + INTERVAL '1 hour'
                GROUP BY 1, 2, 3, 4, 5) AS m
        UNION ALL
        -- The other hours of their days, where these are stored.
        SELECT h.bucket, s.advertiser_id, h.campaign_id, h.ad_id, h.country, h.device_type,
               h.valid, h.duplicate, h.givt, h.sivt, h.test, h.defective
          FROM (SELECT DISTINCT advertiser_id, day FROM stale_hours
                 WHERE day < (SELECT days_before FROM rollup_progress)) AS s
         CROSS JOIN LATERAL (
               SELECT time_bucket(INTERVAL '1 day', h.bucket) AS bucket, h.campaign_id, h.ad_id, h.country, h.device_type,
                      sum(h.valid)::bigint AS valid, sum(h.duplicate)::bigint AS duplicate, sum(h.givt)::bigint AS givt,
                      sum(h.sivt)::bigint AS sivt, sum(h.test)::bigint AS test, sum(h.defective)::bigint AS defective
                 FROM hour_counts AS h
                WHERE h.advertiser_id = s.advertiser_id AND h.bucket >= s.day AND h.bucket < s.day + INTERVAL '24 hours'
                  AND NOT EXISTS (SELECT FROM stale_hours AS t
                                   WHERE t.advertiser_id = h.advertiser_id AND t.bucket = h.bucket)
                GROUP BY 1, 2, 3, 4, 5) AS h
      ) AS p
     GROUP BY 1, 2, 3, 4, 5, 6;

CREATE VIEW tenants.click_hours WITH (security_barrier) AS
    SELECT * FROM public.click_hours
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
CREATE VIEW tenants.click_days WITH (security_barrier) AS
    SELECT * FROM public.click_days
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
GRANT SELECT ON tenants.click_hours, tenants.click_days TO clickwire_reader;

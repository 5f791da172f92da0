-- Hours and days at the coarser grains that pages ask for: by campaign, and by place and device. A day of one
-- advertiser is hundreds of rows by ad, country and device type, and a question wants a few. Why so:
-- docs/decisions/0055-grains.md.
--
-- Rows of a coarser grain are the sums of rows of hour_counts and day_counts, in every snapshot: triggers make them
-- anew in the transaction that changes those, so versions of the aggregator that know of no grains keep them right.
CREATE TABLE hour_counts_by_campaign (
    bucket        timestamptz NOT NULL,
    advertiser_id text        NOT NULL,
    campaign_id   text        NOT NULL,
    valid         bigint      NOT NULL,
    duplicate     bigint      NOT NULL,
    givt          bigint      NOT NULL,
    sivt          bigint      NOT NULL,
    test          bigint      NOT NULL,
    defective     bigint      NOT NULL,
    PRIMARY KEY (advertiser_id, bucket, campaign_id)
);
CREATE TABLE hour_counts_by_place (
    bucket        timestamptz NOT NULL,
    advertiser_id text        NOT NULL,
    country       text        NOT NULL,
    device_type   text        NOT NULL,
    valid         bigint      NOT NULL,
    duplicate     bigint      NOT NULL,
    givt          bigint      NOT NULL,
    sivt          bigint      NOT NULL,
    test          bigint      NOT NULL,
    defective     bigint      NOT NULL,
    PRIMARY KEY (advertiser_id, bucket, country, device_type)
);
CREATE TABLE day_counts_by_campaign (LIKE hour_counts_by_campaign INCLUDING ALL);
CREATE TABLE day_counts_by_place (LIKE hour_counts_by_place INCLUDING ALL);
-- For questions about all advertisers.
CREATE INDEX hour_counts_by_campaign_by_bucket ON hour_counts_by_campaign (bucket);
CREATE INDEX hour_counts_by_place_by_bucket ON hour_counts_by_place (bucket);
CREATE INDEX day_counts_by_campaign_by_bucket ON day_counts_by_campaign (bucket);
CREATE INDEX day_counts_by_place_by_bucket ON day_counts_by_place (bucket);

-- The lock of the roll-up task, which that task has already. Every other session takes it before it changes a row:
-- sums that two sessions make at once would lack each other's changes. A statement before the rows are touched, so
-- that nobody waits for the lock while the lock's owner waits for the rows.
CREATE FUNCTION lock_rollups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE public.rollup_progress IN SHARE ROW EXCLUSIVE MODE;
    RETURN NULL;
END
$$;

-- Makes the rows of both grains what the advertisers' buckets add up to in which rows came, changed or went. Rows
-- are looked for in LATERAL sub-queries: by index for each bucket, whatever the planner believes.
CREATE FUNCTION store_grains() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text := CASE TG_OP WHEN 'INSERT' THEN 'TABLE added' WHEN 'DELETE' THEN 'TABLE removed'
                               ELSE 'TABLE added UNION ALL TABLE removed' END;
    grain   record;
BEGIN
    FOR grain IN SELECT * FROM (VALUES ('campaign', 'campaign_id'), ('place', 'country, device_type')) AS g (name, columns)
    LOOP
        EXECUTE format($sql$
            WITH changed AS MATERIALIZED (SELECT DISTINCT advertiser_id, bucket FROM (%1$s) AS c),
            sums AS MATERIALIZED (
                SELECT c.bucket, c.advertiser_id, s.* FROM changed AS c CROSS JOIN LATERAL (
                    SELECT %4$s, sum(valid)::bigint AS valid, sum(duplicate)::bigint AS duplicate,
                           sum(givt)::bigint AS givt, sum(sivt)::bigint AS sivt, sum(test)::bigint AS test,
                           sum(defective)::bigint AS defective
                      FROM public.%2$I AS b WHERE b.advertiser_id = c.advertiser_id AND b.bucket = c.bucket
                     GROUP BY %4$s) AS s),
            gone AS (
                DELETE FROM public.%3$I WHERE ctid = ANY (ARRAY(
                    SELECT g.ctid FROM changed AS c CROSS JOIN LATERAL (
                        SELECT g.ctid FROM public.%3$I AS g
                         WHERE g.advertiser_id = c.advertiser_id AND g.bucket = c.bucket
                           AND NOT EXISTS (SELECT FROM public.%2$I AS b
                                            WHERE b.advertiser_id = c.advertiser_id AND b.bucket = c.bucket
                                              AND (%5$s) = (%6$s))
                        OFFSET 0) AS g)))
            INSERT INTO public.%3$I AS g (bucket, advertiser_id, %4$s, valid, duplicate, givt, sivt, test, defective)
            SELECT * FROM sums
            ON CONFLICT (advertiser_id, bucket, %4$s) DO UPDATE
               SET valid = excluded.valid, duplicate = excluded.duplicate, givt = excluded.givt,
                   sivt = excluded.sivt, test = excluded.test, defective = excluded.defective
             WHERE (g.valid, g.duplicate, g.givt, g.sivt, g.test, g.defective)
                <> (excluded.valid, excluded.duplicate, excluded.givt, excluded.sivt, excluded.test, excluded.defective)
            $sql$, changed, TG_TABLE_NAME, TG_TABLE_NAME || '_by_' || grain.name, grain.columns,
            'b.' || replace(grain.columns, ', ', ', b.'), 'g.' || replace(grain.columns, ', ', ', g.'));
    END LOOP;
    RETURN NULL;
END
$$;

-- Whichever aggregator stores hours just now ends that first, and none begins until all is in place.
LOCK TABLE rollup_progress IN SHARE ROW EXCLUSIVE MODE;
DO $$
DECLARE
    stored text;
BEGIN
    FOREACH stored IN ARRAY ARRAY['hour_counts', 'day_counts']
    LOOP
        EXECUTE format($sql$
            CREATE TRIGGER grains_locked BEFORE INSERT OR UPDATE OR DELETE ON %1$I
                FOR EACH STATEMENT EXECUTE FUNCTION lock_rollups();
            CREATE TRIGGER grains_of_inserted AFTER INSERT ON %1$I
                REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION store_grains();
            CREATE TRIGGER grains_of_updated AFTER UPDATE ON %1$I
                REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION store_grains();
            CREATE TRIGGER grains_of_deleted AFTER DELETE ON %1$I
                REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION store_grains();
            INSERT INTO %1$I_by_campaign
                SELECT bucket, advertiser_id, campaign_id, sum(valid), sum(duplicate), sum(givt), sum(sivt), sum(test),
                       sum(defective) FROM %1$I GROUP BY 1, 2, 3;
            INSERT INTO %1$I_by_place
                SELECT bucket, advertiser_id, country, device_type, sum(valid), sum(duplicate), sum(givt), sum(sivt),
                       sum(test), sum(defective) FROM %1$I GROUP BY 1, 2, 3, 4;
            $sql$, stored);
    END LOOP;
END
$$;

-- The views of migration 18 at each grain: what is stored where it is known to be right, everything else from the
-- minutes, in one snapshot. In the texts %1$s is the grain's name, %2$s its columns, %3$s the counters, %4$s
-- their sums.
DO $$
DECLARE
    counters CONSTANT text := 'valid, duplicate, givt, sivt, test, defective';
    sums     CONSTANT text := 'sum(valid)::bigint AS valid, sum(duplicate)::bigint AS duplicate, '
        'sum(givt)::bigint AS givt, sum(sivt)::bigint AS sivt, sum(test)::bigint AS test, '
        'sum(defective)::bigint AS defective';
    hours    CONSTANT text := $view$
        CREATE VIEW click_hours_by_%1$s AS
            SELECT bucket, advertiser_id, %2$s, %3$s
              FROM hour_counts_by_%1$s AS h
             WHERE bucket < (SELECT hours_before FROM rollup_progress)
               AND NOT EXISTS (SELECT FROM stale_hours AS s
                                WHERE s.advertiser_id = h.advertiser_id AND s.bucket = h.bucket)
            UNION ALL
            SELECT time_bucket(INTERVAL '1 hour', bucket), advertiser_id, %2$s, %4$s
              FROM click_minutes
             WHERE bucket >= (SELECT hours_before FROM rollup_progress)
             GROUP BY 1, advertiser_id, %2$s
            UNION ALL
            SELECT m.bucket, s.advertiser_id, %2$s, %3$s
              FROM (SELECT DISTINCT advertiser_id, bucket FROM stale_hours
                     WHERE bucket < (SELECT hours_before FROM rollup_progress)) AS s
             CROSS JOIN LATERAL (
                   SELECT time_bucket(INTERVAL '1 hour', m.bucket) AS bucket, %2$s, %4$s
                     FROM click_minutes AS m
                    WHERE m.advertiser_id = s.advertiser_id
                      AND m.bucket >= s.bucket AND m.bucket < s.bucket + INTERVAL '1 hour'
                    GROUP BY 1, %2$s) AS m
        $view$;
    days     CONSTANT text := $view$
        CREATE VIEW click_days_by_%1$s AS
            SELECT bucket, advertiser_id, %2$s, %3$s
              FROM day_counts_by_%1$s AS d
             WHERE bucket < (SELECT days_before FROM rollup_progress)
               AND NOT EXISTS (SELECT FROM stale_hours AS s
                                WHERE s.advertiser_id = d.advertiser_id AND s.day = d.bucket)
            UNION ALL
            SELECT bucket, advertiser_id, %2$s, %4$s
              FROM (
                -- Stored hours of days that are not stored.
                SELECT time_bucket(INTERVAL '1 day', bucket) AS bucket, advertiser_id, %2$s, %3$s
                  FROM hour_counts_by_%1$s AS h
                 WHERE bucket >= (SELECT days_before FROM rollup_progress)
                   AND bucket < (SELECT hours_before FROM rollup_progress)
                   AND NOT EXISTS (SELECT FROM stale_hours AS s
                                    WHERE s.advertiser_id = h.advertiser_id AND s.bucket = h.bucket)
                UNION ALL
                -- Minutes of hours that are not stored.
                SELECT time_bucket(INTERVAL '1 day', bucket), advertiser_id, %2$s, %3$s
                  FROM click_minutes
                 WHERE bucket >= (SELECT hours_before FROM rollup_progress)
                UNION ALL
                -- Minutes of stale hours.
                SELECT m.bucket, s.advertiser_id, %2$s, %3$s
                  FROM (SELECT DISTINCT advertiser_id, bucket FROM stale_hours
                         WHERE bucket < (SELECT hours_before FROM rollup_progress)) AS s
                 CROSS JOIN LATERAL (
                       SELECT time_bucket(INTERVAL '1 day', m.bucket) AS bucket, %2$s, %4$s
                         FROM click_minutes AS m
                        WHERE m.advertiser_id = s.advertiser_id
                          AND m.bucket >= s.bucket AND m.bucket < s.bucket + INTERVAL '1 hour'
                        GROUP BY 1, %2$s) AS m
                UNION ALL
                -- The other hours of their days, where these are stored.
                SELECT h.bucket, s.advertiser_id, %2$s, %3$s
                  FROM (SELECT DISTINCT advertiser_id, day FROM stale_hours
                         WHERE day < (SELECT days_before FROM rollup_progress)) AS s
                 CROSS JOIN LATERAL (
                       SELECT time_bucket(INTERVAL '1 day', h.bucket) AS bucket, %2$s, %4$s
                         FROM hour_counts_by_%1$s AS h
                        WHERE h.advertiser_id = s.advertiser_id
                          AND h.bucket >= s.day AND h.bucket < s.day + INTERVAL '24 hours'
                          AND NOT EXISTS (SELECT FROM stale_hours AS t
                                           WHERE t.advertiser_id = h.advertiser_id AND t.bucket = h.bucket)
                        GROUP BY 1, %2$s) AS h
              ) AS p
             GROUP BY bucket, advertiser_id, %2$s
        $view$;
    tenants  CONSTANT text := $view$
        CREATE VIEW tenants.%1$s WITH (security_barrier) AS
            SELECT * FROM public.%1$s
             WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
        GRANT SELECT ON tenants.%1$s TO clickwire_reader
        $view$;
    grain    record;
BEGIN
    FOR grain IN SELECT * FROM (VALUES ('campaign', 'campaign_id'), ('place', 'country, device_type')) AS g (name, columns)
    LOOP
        EXECUTE format(hours, grain.name, grain.columns, counters, sums);
        EXECUTE format(days, grain.name, grain.columns, counters, sums);
        EXECUTE format(tenants, 'click_hours_by_' || grain.name);
        EXECUTE format(tenants, 'click_days_by_' || grain.name);
    END LOOP;
END
$$;

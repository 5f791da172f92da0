-- The views of hours and days, which show what they did, with another plan: minutes that are not stored are looked for
-- in a LATERAL sub-query of the one row of rollup_progress.
--
-- Where `hours_before` was a sub-query of its own, the planner took a third of all minutes in the range for newer, and
-- started parallel workers to read what were none or few: 20 to 40 ms on a busy machine, for a question of 2. It
-- starts none below a LATERAL sub-query. In the texts %1$s is the end of the grain's name, %2$s its columns, %3$s the
-- counters, %4$s their sums.
DO $$
DECLARE
    counters CONSTANT text := 'valid, duplicate, givt, sivt, test, defective';
    sums     CONSTANT text := 'sum(valid)::bigint AS valid, sum(duplicate)::bigint AS duplicate, '
        'sum(givt)::bigint AS givt, sum(sivt)::bigint AS sivt, sum(test)::bigint AS test, '
        'sum(defective)::bigint AS defective';
    hours    CONSTANT text := $view$
        CREATE OR REPLACE VIEW click_hours%1$s AS
            SELECT bucket, advertiser_id, %2$s, %3$s
              FROM hour_counts%1$s AS h
             WHERE bucket < (SELECT hours_before FROM rollup_progress)
               AND NOT EXISTS (SELECT FROM stale_hours AS s
                                WHERE s.advertiser_id = h.advertiser_id AND s.bucket = h.bucket)
            UNION ALL
            SELECT m.bucket, advertiser_id, %2$s, %3$s
              FROM rollup_progress AS p
             CROSS JOIN LATERAL (
                   SELECT time_bucket(INTERVAL '1 hour', m.bucket) AS bucket, advertiser_id, %2$s, %4$s
                     FROM click_minutes AS m
                    WHERE m.bucket >= p.hours_before
                    GROUP BY 1, advertiser_id, %2$s) AS m
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
        CREATE OR REPLACE VIEW click_days%1$s AS
            SELECT bucket, advertiser_id, %2$s, %3$s
              FROM day_counts%1$s AS d
             WHERE bucket < (SELECT days_before FROM rollup_progress)
               AND NOT EXISTS (SELECT FROM stale_hours AS s
                                WHERE s.advertiser_id = d.advertiser_id AND s.day = d.bucket)
            UNION ALL
            SELECT bucket, advertiser_id, %2$s, %4$s
              FROM (
                -- Stored hours of days that are not stored.
                SELECT time_bucket(INTERVAL '1 day', bucket) AS bucket, advertiser_id, %2$s, %3$s
                  FROM hour_counts%1$s AS h
                 WHERE bucket >= (SELECT days_before FROM rollup_progress)
                   AND bucket < (SELECT hours_before FROM rollup_progress)
                   AND NOT EXISTS (SELECT FROM stale_hours AS s
                                    WHERE s.advertiser_id = h.advertiser_id AND s.bucket = h.bucket)
                UNION ALL
                -- Minutes of hours that are not stored.
                SELECT m.bucket, advertiser_id, %2$s, %3$s
                  FROM rollup_progress AS p
                 CROSS JOIN LATERAL (
                       SELECT time_bucket(INTERVAL '1 day', m.bucket) AS bucket, advertiser_id, %2$s, %4$s
                         FROM click_minutes AS m
                        WHERE m.bucket >= p.hours_before
                        GROUP BY 1, advertiser_id, %2$s) AS m
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
                         FROM hour_counts%1$s AS h
                        WHERE h.advertiser_id = s.advertiser_id
                          AND h.bucket >= s.day AND h.bucket < s.day + INTERVAL '24 hours'
                          AND NOT EXISTS (SELECT FROM stale_hours AS t
                                           WHERE t.advertiser_id = h.advertiser_id AND t.bucket = h.bucket)
                        GROUP BY 1, %2$s) AS h
              ) AS p
             GROUP BY bucket, advertiser_id, %2$s
        $view$;
    grain    record;
BEGIN
    FOR grain IN SELECT * FROM (VALUES ('', 'campaign_id, ad_id, country, device_type'), ('_by_campaign', 'campaign_id'),
                                       ('_by_place', 'country, device_type')) AS g (name, columns)
    LOOP
        EXECUTE format(hours, grain.name, grain.columns, counters, sums);
        EXECUTE format(days, grain.name, grain.columns, counters, sums);
    END LOOP;
END
$$;

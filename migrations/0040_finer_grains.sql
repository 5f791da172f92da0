-- Two more grains that pages ask for: hours and days by ad, and minutes by campaign, for charts of a day by minute.
-- Why so, and what they cost: docs/decisions/0064-stored-rows-are-read-directly.md.
--
-- They have no views: who reads stored rows knows how far they reach (tenants.kept) and that none of them is stale, and
-- reads the views of migrations 18 and 26 where one is.
CREATE TABLE hour_counts_by_ad (
    bucket        timestamptz NOT NULL,
    advertiser_id text        NOT NULL,
    campaign_id   text        NOT NULL,
    ad_id         text        NOT NULL,
    valid         bigint      NOT NULL,
    duplicate     bigint      NOT NULL,
    givt          bigint      NOT NULL,
    sivt          bigint      NOT NULL,
    test          bigint      NOT NULL,
    defective     bigint      NOT NULL,
    PRIMARY KEY (advertiser_id, bucket, campaign_id, ad_id)
);
CREATE TABLE day_counts_by_ad (LIKE hour_counts_by_ad INCLUDING ALL);
-- Of stored hours alone.
CREATE TABLE minute_counts_by_campaign (LIKE hour_counts_by_campaign INCLUDING ALL);
-- For questions about all advertisers.
CREATE INDEX hour_counts_by_ad_by_bucket ON hour_counts_by_ad (bucket);
CREATE INDEX day_counts_by_ad_by_bucket ON day_counts_by_ad (bucket);

-- As in migration 26, with one grain more.
CREATE OR REPLACE FUNCTION store_grains() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text := CASE TG_OP WHEN 'INSERT' THEN 'TABLE added' WHEN 'DELETE' THEN 'TABLE removed'
                               ELSE 'TABLE added UNION ALL TABLE removed' END;
    grain   record;
BEGIN
    FOR grain IN SELECT * FROM (VALUES ('campaign', 'campaign_id'), ('place', 'country, device_type'),
                                       ('ad', 'campaign_id, ad_id')) AS g (name, columns)
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

-- Makes the minutes by campaign of hours what the minutes add up to: of hours that are stored, and of those whose
-- marks are taken away because they were stored anew, whichever version of the roll-up task does it.
CREATE FUNCTION store_campaign_minutes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    advertisers text[];
    hours       timestamptz[];
    -- They leave out chunks.
    first_hour  timestamptz;
    last_hour   timestamptz;
BEGIN
    SELECT array_agg(advertiser_id), array_agg(bucket), min(bucket), max(bucket)
      INTO advertisers, hours, first_hour, last_hour
      FROM (SELECT DISTINCT c.advertiser_id, c.bucket FROM changed AS c, public.rollup_progress AS p
             WHERE c.bucket >= p.minutes_from) AS c;
    DELETE FROM public.minute_counts_by_campaign WHERE ctid = ANY (ARRAY(
        SELECT g.ctid FROM unnest(advertisers, hours) AS c (advertiser_id, bucket) CROSS JOIN LATERAL (
            SELECT g.ctid FROM public.minute_counts_by_campaign AS g
             WHERE g.advertiser_id = c.advertiser_id
               AND g.bucket >= c.bucket AND g.bucket < c.bucket + INTERVAL '1 hour'
               AND NOT EXISTS (SELECT FROM public.click_minutes AS m
                                WHERE m.advertiser_id = g.advertiser_id AND m.bucket = g.bucket
                                  AND m.campaign_id = g.campaign_id
                                  AND m.bucket >= first_hour AND m.bucket < last_hour + INTERVAL '1 hour')
            OFFSET 0) AS g));
    INSERT INTO public.minute_counts_by_campaign AS g
        (bucket, advertiser_id, campaign_id, valid, duplicate, givt, sivt, test, defective)
    SELECT s.bucket, c.advertiser_id, s.campaign_id, s.valid, s.duplicate, s.givt, s.sivt, s.test, s.defective
      FROM unnest(advertisers, hours) AS c (advertiser_id, bucket) CROSS JOIN LATERAL (
           SELECT m.bucket, m.campaign_id, sum(valid)::bigint AS valid, sum(duplicate)::bigint AS duplicate,
                  sum(givt)::bigint AS givt, sum(sivt)::bigint AS sivt, sum(test)::bigint AS test,
                  sum(defective)::bigint AS defective
             FROM public.click_minutes AS m
            WHERE m.advertiser_id = c.advertiser_id
              AND m.bucket >= c.bucket AND m.bucket < c.bucket + INTERVAL '1 hour'
              AND m.bucket >= first_hour AND m.bucket < last_hour + INTERVAL '1 hour'
            GROUP BY 1, 2) AS s
    ON CONFLICT (advertiser_id, bucket, campaign_id) DO UPDATE
       SET valid = excluded.valid, duplicate = excluded.duplicate, givt = excluded.givt,
           sivt = excluded.sivt, test = excluded.test, defective = excluded.defective
     WHERE (g.valid, g.duplicate, g.givt, g.sivt, g.test, g.defective)
        <> (excluded.valid, excluded.duplicate, excluded.givt, excluded.sivt, excluded.test, excluded.defective);
    RETURN NULL;
END
$$;

-- Whichever aggregator stores hours just now ends that first, and none begins until all is in place.
LOCK TABLE rollup_progress IN SHARE ROW EXCLUSIVE MODE;
CREATE TRIGGER minutes_of_inserted AFTER INSERT ON hour_counts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION store_campaign_minutes();
-- A mark goes after its hour was stored anew; minutes may have changed without their sum. Nothing else that is done to
-- a stored hour changes its minutes.
CREATE TRIGGER minutes_of_unmarked AFTER DELETE ON stale_hours
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION store_campaign_minutes();

INSERT INTO hour_counts_by_ad
    SELECT bucket, advertiser_id, campaign_id, ad_id, sum(valid), sum(duplicate), sum(givt), sum(sivt), sum(test),
           sum(defective) FROM hour_counts GROUP BY 1, 2, 3, 4;
INSERT INTO day_counts_by_ad
    SELECT bucket, advertiser_id, campaign_id, ad_id, sum(valid), sum(duplicate), sum(givt), sum(sivt), sum(test),
           sum(defective) FROM day_counts GROUP BY 1, 2, 3, 4;
INSERT INTO minute_counts_by_campaign
    SELECT bucket, advertiser_id, campaign_id, sum(valid), sum(duplicate), sum(givt), sum(sivt), sum(test),
           sum(defective)
      FROM click_minutes WHERE bucket < (SELECT hours_before FROM rollup_progress) GROUP BY 1, 2, 3;

-- What is stored, for questions: of advertisers that the transaction may see, as in migration 14.
DO $$
DECLARE
    stored text;
BEGIN
    FOREACH stored IN ARRAY ARRAY['hour_counts', 'hour_counts_by_campaign', 'hour_counts_by_place', 'hour_counts_by_ad',
                                  'day_counts', 'day_counts_by_campaign', 'day_counts_by_place', 'day_counts_by_ad',
                                  'minute_counts_by_campaign', 'stale_hours']
    LOOP
        EXECUTE format($view$
            CREATE VIEW tenants.%1$I WITH (security_barrier) AS
                SELECT * FROM public.%1$I
                 WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
            GRANT SELECT ON tenants.%1$I TO clickwire_reader
            $view$, stored);
    END LOOP;
END
$$;
CREATE OR REPLACE VIEW tenants.kept AS SELECT hours_before, minutes_from, days_before FROM public.rollup_progress;

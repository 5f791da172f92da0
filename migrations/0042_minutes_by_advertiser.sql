-- One more grain: minutes by advertiser, for charts of a day by minute of all that an advertiser has. Of ten campaigns
-- such a day is 14,400 rows by campaign, and 1,440 of these. Why so: docs/decisions/0064-stored-rows-are-read-directly.md.
CREATE TABLE minute_counts_by_advertiser (
    bucket        timestamptz NOT NULL,
    advertiser_id text        NOT NULL,
    valid         bigint      NOT NULL,
    duplicate     bigint      NOT NULL,
    givt          bigint      NOT NULL,
    sivt          bigint      NOT NULL,
    test          bigint      NOT NULL,
    defective     bigint      NOT NULL,
    PRIMARY KEY (advertiser_id, bucket)
);
-- For questions about all advertisers.
CREATE INDEX minute_counts_by_advertiser_by_bucket ON minute_counts_by_advertiser (bucket);

-- Makes the minutes by advertiser of hours what the minutes by campaign add up to, which the trigger before it has made
-- anew (store_campaign_minutes, migration 40): triggers of one event go off in the order of their names.
CREATE FUNCTION store_advertiser_minutes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    advertisers text[];
    hours       timestamptz[];
BEGIN
    SELECT array_agg(advertiser_id), array_agg(bucket) INTO advertisers, hours
      FROM (SELECT DISTINCT c.advertiser_id, c.bucket FROM changed AS c, public.rollup_progress AS p
             WHERE c.bucket >= p.minutes_from) AS c;
    DELETE FROM public.minute_counts_by_advertiser WHERE ctid = ANY (ARRAY(
        SELECT g.ctid FROM unnest(advertisers, hours) AS c (advertiser_id, bucket) CROSS JOIN LATERAL (
            SELECT g.ctid FROM public.minute_counts_by_advertiser AS g
             WHERE g.advertiser_id = c.advertiser_id
               AND g.bucket >= c.bucket AND g.bucket < c.bucket + INTERVAL '1 hour'
               AND NOT EXISTS (SELECT FROM public.minute_counts_by_campaign AS m
                                WHERE m.advertiser_id = g.advertiser_id AND m.bucket = g.bucket)
            OFFSET 0) AS g));
    INSERT INTO public.minute_counts_by_advertiser AS g
        (bucket, advertiser_id, valid, duplicate, givt, sivt, test, defective)
    SELECT s.bucket, c.advertiser_id, s.valid, s.duplicate, s.givt, s.sivt, s.test, s.defective
      FROM unnest(advertisers, hours) AS c (advertiser_id, bucket) CROSS JOIN LATERAL (
           SELECT m.bucket, sum(valid)::bigint AS valid, sum(duplicate)::bigint AS duplicate,
                  sum(givt)::bigint AS givt, sum(sivt)::bigint AS sivt, sum(test)::bigint AS test,
                  sum(defective)::bigint AS defective
             FROM public.minute_counts_by_campaign AS m
            WHERE m.advertiser_id = c.advertiser_id
              AND m.bucket >= c.bucket AND m.bucket < c.bucket + INTERVAL '1 hour'
            GROUP BY 1) AS s
    ON CONFLICT (advertiser_id, bucket) DO UPDATE
       SET valid = excluded.valid, duplicate = excluded.duplicate, givt = excluded.givt,
           sivt = excluded.sivt, test = excluded.test, defective = excluded.defective
     WHERE (g.valid, g.duplicate, g.givt, g.sivt, g.test, g.defective)
        <> (excluded.valid, excluded.duplicate, excluded.givt, excluded.sivt, excluded.test, excluded.defective);
    RETURN NULL;
END
$$;

-- Whichever aggregator stores hours just now ends that first, and none begins until all is in place.
LOCK TABLE rollup_progress IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO minute_counts_by_advertiser
    SELECT bucket, advertiser_id, sum(valid), sum(duplicate), sum(givt), sum(sivt), sum(test), sum(defective)
      FROM minute_counts_by_campaign GROUP BY 1, 2;
-- Behind that: whoever counts clicks waits for a trigger of stale_hours, if only for a moment.
CREATE TRIGGER minutes_of_inserted_by_advertiser AFTER INSERT ON hour_counts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION store_advertiser_minutes();
CREATE TRIGGER minutes_of_unmarked_by_advertiser AFTER DELETE ON stale_hours
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION store_advertiser_minutes();

-- For questions: of advertisers that the transaction may see, as in migration 14.
CREATE VIEW tenants.minute_counts_by_advertiser WITH (security_barrier) AS
    SELECT * FROM public.minute_counts_by_advertiser
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
GRANT SELECT ON tenants.minute_counts_by_advertiser TO clickwire_reader;

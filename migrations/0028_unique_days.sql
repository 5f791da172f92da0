-- Unique users of days: hours that are over, folded, so that a month is merged from thirty sketches and not from
-- seven hundred and more. Housekeeping folds hours as it folds minutes (migration 6). Why so:
-- docs/decisions/0056-unique-days.md.
--
-- What is asked about days is these, the hours that are not folded yet and the minutes that are not, in one snapshot.
-- A plain table for the reason that hour_counts is one: migration 18.
CREATE TABLE unique_days (
    bucket        timestamptz NOT NULL,
    advertiser_id text        NOT NULL,
    -- '' for all campaigns together.
    campaign_id   text        NOT NULL,
    -- Hashes don't compress.
    sketch        bytea       STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (advertiser_id, bucket, campaign_id)
);
-- For questions about all advertisers, and for retention.
CREATE INDEX unique_days_by_bucket ON unique_days (bucket);

-- Its day holds everybody in it.
ALTER TABLE unique_hours ADD COLUMN folded boolean NOT NULL DEFAULT false;
CREATE INDEX unique_hours_to_fold ON unique_hours (advertiser_id, campaign_id, bucket) WHERE NOT folded;

-- A version that knows of no days writes a sketch and leaves `folded` as it is.
CREATE FUNCTION unfold_hour() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.folded := false;
    RETURN NEW;
END
$$;
CREATE TRIGGER unfolded BEFORE UPDATE OF sketch ON unique_hours FOR EACH ROW EXECUTE FUNCTION unfold_hour();

CREATE VIEW tenants.unique_days WITH (security_barrier) AS
    SELECT * FROM public.unique_days
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
-- With the new column.
CREATE OR REPLACE VIEW tenants.unique_hours WITH (security_barrier) AS
    SELECT * FROM public.unique_hours
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
GRANT SELECT ON tenants.unique_days TO clickwire_reader;

-- What reports and the search for clicks read of the ledger, for the role clickwire_reader: migration 14 says how
-- its views keep advertisers apart. Neither addresses nor what the stream called a click are in them.
CREATE VIEW tenants.clicks WITH (security_barrier) AS
    SELECT click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, device_type, os, browser,
           user_id, disposition, rule, rule_version, evidence, params, referrer, robot, coalesce(released, false) AS released
      FROM public.clicks
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
CREATE VIEW tenants.adjustments WITH (security_barrier) AS
    SELECT adjustment_id, adjusted_at, click_id, clicked_at, advertiser_id, from_disposition, to_disposition, rule,
           rule_version, actor, reason
      FROM public.adjustments
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);

-- From when on there are hours and minutes: no tenant's secret.
CREATE VIEW tenants.kept AS SELECT hours_before, minutes_from FROM public.rollup_progress;

GRANT SELECT ON tenants.clicks, tenants.adjustments, tenants.kept TO clickwire_reader;

-- One advertiser's clicks of a time, whatever others have. Clicks come nearly in the order of their time, so it
-- grows at a few places. Clicks wait on the stream while it is built. Its collation is one that only questions name:
-- judging, which looks for a user's or an address's neighbours of one advertiser, must not take it for the shortest way
-- to them while statistics are old, and read an advertiser's whole day for each click.
CREATE INDEX clicks_by_advertiser ON clicks (advertiser_id COLLATE "C", clicked_at);

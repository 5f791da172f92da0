-- Clicks with the hash of their address, for a search by it. For callers that see all advertisers: a tenant's transaction
-- finds nothing here.
CREATE VIEW tenants.addresses WITH (security_barrier) AS
    SELECT click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, device_type, os, browser,
           user_id, disposition, rule, rule_version, evidence, params, referrer, robot, coalesce(released, false) AS released,
           ip_hash, bound
      FROM public.clicks
     WHERE (SELECT tenants.everybody());

GRANT SELECT ON tenants.addresses TO clickwire_reader;

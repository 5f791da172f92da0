-- The hash of a click's address, for a search by it. For callers that see all advertisers: a tenant's transaction finds
-- nothing here.
CREATE VIEW tenants.addresses WITH (security_barrier) AS
    SELECT click_id, clicked_at, advertiser_id, ip_hash, bound FROM public.clicks WHERE (SELECT tenants.everybody());

GRANT SELECT ON tenants.addresses TO clickwire_reader;

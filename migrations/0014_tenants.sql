-- The second wall between advertisers. The server answers questions about counts over connections with
-- this role, which sees nothing of a table of counts itself, only what is below: rows of the advertisers
-- that the transaction has named in clickwire.tenants, all rows where it has named '*', none where it has
-- named nobody. The first wall is the server's own (server/src/access.rs).
--
-- Row-level security is not to be had on tables with compressed chunks, nor below continuous aggregates,
-- so where there are counts it is a view with a security barrier, under the table's own name in a schema
-- that comes first on this role's search path.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'clickwire_reader') THEN
        CREATE ROLE clickwire_reader NOLOGIN;
    END IF;
    IF NOT pg_has_role(current_user, 'clickwire_reader', 'MEMBER') THEN
        GRANT clickwire_reader TO CURRENT_USER;
    END IF;
EXCEPTION
    -- Another database of the same server is migrated at the same moment.
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role clickwire_reader is missing'
            USING HINT = 'As a superuser: CREATE ROLE clickwire_reader NOLOGIN; GRANT clickwire_reader TO '
                         || quote_ident(current_user);
END
$$;

CREATE SCHEMA tenants;

-- Whether the transaction may see everybody's rows, and whose else. Asked in sub-queries below, so that
-- they are computed once, not for each row.
CREATE FUNCTION tenants.everybody() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(current_setting('clickwire.tenants', true) = '*', false)
$$;
CREATE FUNCTION tenants.named() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT string_to_array(coalesce(current_setting('clickwire.tenants', true), ''), ',')
$$;

CREATE VIEW tenants.click_minutes WITH (security_barrier) AS
    SELECT * FROM public.click_minutes
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
CREATE VIEW tenants.click_hours WITH (security_barrier) AS
    SELECT * FROM public.click_hours
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
CREATE VIEW tenants.click_days WITH (security_barrier) AS
    SELECT * FROM public.click_days
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
CREATE VIEW tenants.unique_minutes WITH (security_barrier) AS
    SELECT * FROM public.unique_minutes
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);
CREATE VIEW tenants.unique_hours WITH (security_barrier) AS
    SELECT * FROM public.unique_hours
     WHERE (SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]);

ALTER TABLE advertisers ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenants ON advertisers FOR SELECT TO clickwire_reader
    USING ((SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]));

ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenants ON campaigns FOR SELECT TO clickwire_reader
    USING ((SELECT tenants.everybody()) OR advertiser_id = ANY ((SELECT tenants.named())::text[]));

GRANT USAGE ON SCHEMA tenants TO clickwire_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA tenants TO clickwire_reader;
GRANT SELECT ON advertisers, campaigns TO clickwire_reader;
-- Up to when everybody is counted: nobody's secret.
GRANT SELECT ON watermarks TO clickwire_reader;

-- Keys that clicks are posted with. Of a key its SHA-256 is kept: it is 256 random bits, which nobody
-- finds by trying.
CREATE TABLE api_keys (
    key_id               text        PRIMARY KEY,
    name                 text        NOT NULL,
    -- Clicks posted with a test key are counted as tests.
    mode                 text        NOT NULL CHECK (mode IN ('live', 'test')),
    -- The advertisers that it may post for; NULL: all.
    advertisers          text[],
    -- It may name users' addresses and browsers: it is a program's, not a page's.
    speaks_for_users     boolean     NOT NULL,
    -- Clicks a second in the long run, and at once.
    rate_per_second      integer     NOT NULL CHECK (rate_per_second > 0),
    burst                integer     NOT NULL CHECK (burst > 0),
    secret_hash          bytea       NOT NULL UNIQUE,
    -- The key before the last rotation, which is still taken for a while.
    previous_secret_hash bytea       UNIQUE,
    previous_until       timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    created_by           text        NOT NULL,
    rotated_at           timestamptz,
    revoked_at           timestamptz,
    revoked_by           text,
    CHECK ((previous_secret_hash IS NULL) = (previous_until IS NULL)),
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);

-- What servers ask every second. The row's lock puts changes in line, so that whoever has seen a
-- version has seen all below.
CREATE TABLE api_keys_version (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version   bigint  NOT NULL
);
INSERT INTO api_keys_version (version) VALUES (1);

CREATE FUNCTION api_keys_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE api_keys_version SET version = version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION api_keys_changed();

-- People who sign in, and what they may see. Whose account ends is disabled, not deleted: records name it.
CREATE TABLE accounts (
    account_id    uuid        PRIMARY KEY,
    -- What its owner signs in with.
    login         text        NOT NULL UNIQUE CHECK (login = lower(login)),
    name          text        NOT NULL,
    role          text        NOT NULL CHECK (role IN ('advertiser', 'ops', 'admin')),
    -- The advertisers that it may see; for those who see all of them, none.
    advertisers   text[]      NOT NULL CHECK ((role = 'advertiser') = (cardinality(advertisers) > 0)),
    -- Argon2id, in the PHC string format.
    password_hash text        NOT NULL,
    -- Grows when all its sessions are to end: a new password, signed out everywhere, disabled.
    generation    integer     NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    disabled_at   timestamptz
);

-- Tokens of an account's programs. Of a token its SHA-256 is kept: it is 256 random bits.
CREATE TABLE account_tokens (
    token_id    text        PRIMARY KEY,
    account_id  uuid        NOT NULL REFERENCES accounts,
    name        text        NOT NULL,
    secret_hash bytea       NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz
);
CREATE INDEX account_tokens_by_account ON account_tokens (account_id);

-- Sessions that were signed out; kept for as long as they would have lasted.
CREATE TABLE ended_sessions (
    session_id uuid        PRIMARY KEY,
    until      timestamptz NOT NULL
);

-- What servers ask every second, as for keys.
CREATE TABLE accounts_version (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version   bigint  NOT NULL
);
INSERT INTO accounts_version (version) VALUES (1);

CREATE FUNCTION accounts_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts_version SET version = version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON account_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_changed();
CREATE TRIGGER changed AFTER INSERT ON ended_sessions
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_changed();

-- Who changed what, when, from where. Written by the tables themselves, so that no way to change them
-- leaves it out; whoever changes says who it is in clickwire.actor and clickwire.origin.
CREATE TABLE audit_log (
    entry_id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text        NOT NULL,
    -- The keyed hash of an address, or where else than over HTTP it was done.
    origin     text        NOT NULL,
    -- 'insert', 'update', 'delete', or what changes no table: 'sign_in', 'sign_out'.
    action     text        NOT NULL,
    -- A table and its row's key.
    subject    text        NOT NULL,
    subject_id text        NOT NULL,
    -- The row before and after, without secrets; NULL where there is none.
    before     jsonb,
    after      jsonb
);
CREATE INDEX audit_log_by_subject ON audit_log (subject, subject_id, entry_id DESC);

CREATE FUNCTION audit(action text, subject text, subject_id text, before jsonb, after jsonb)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO audit_log (actor, origin, action, subject, subject_id, before, after)
    VALUES (coalesce(nullif(current_setting('clickwire.actor', true), ''), 'database:' || session_user),
            coalesce(nullif(current_setting('clickwire.origin', true), ''), 'database'),
            action, subject, subject_id, before, after)
$$;

-- The argument is the key's column.
CREATE FUNCTION audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    secrets text[] := ARRAY['password_hash', 'secret_hash', 'previous_secret_hash'];
    before  jsonb  := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after   jsonb  := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
BEGIN
    PERFORM audit(lower(TG_OP), TG_TABLE_NAME, coalesce(after, before) ->> TG_ARGV[0],
                  before - secrets, after - secrets);
    RETURN NULL;
END
$$;
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON accounts
    FOR EACH ROW EXECUTE FUNCTION audit_change('account_id');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON account_tokens
    FOR EACH ROW EXECUTE FUNCTION audit_change('token_id');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION audit_change('key_id');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON advertisers
    FOR EACH ROW EXECUTE FUNCTION audit_change('advertiser_id');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON campaigns
    FOR EACH ROW EXECUTE FUNCTION audit_change('campaign_id');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON ads
    FOR EACH ROW EXECUTE FUNCTION audit_change('ad_id');
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON fraud_rules
    FOR EACH ROW EXECUTE FUNCTION audit_change('rule');

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log can only be added to';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();

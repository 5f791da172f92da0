-- Erasures of users: what they were, what they have said. Why so: docs/decisions/0061-erasure-of-a-user.md.
CREATE TABLE erasures (
    erasure_id    uuid        PRIMARY KEY,
    requested_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- NULL while rows may be left: the same order again goes on.
    finished_at   timestamptz,
    advertiser_id text        NOT NULL,
    -- A code over the user under the deployment's secret: tells whether a user was erased to whom knows the user.
    user_mac      bytea       NOT NULL,
    actor         text        NOT NULL,
    reason        text        NOT NULL,
    -- What stands in place of the user and of addresses is made with it. Forgotten at the end: from then on nobody
    -- can tell whom it stands for.
    secret_hash   bytea,
    clicks        bigint      NOT NULL DEFAULT 0,
    incidents     bigint      NOT NULL DEFAULT 0,
    dead_letters  bigint      NOT NULL DEFAULT 0,
    CHECK ((finished_at IS NULL) = (secret_hash IS NOT NULL))
);
CREATE UNIQUE INDEX erasures_unfinished ON erasures (advertiser_id, user_mac) WHERE finished_at IS NULL;

-- The order and its end; `secret_hash` is one of the columns that the audit log leaves out.
CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF finished_at ON erasures
    FOR EACH ROW EXECUTE FUNCTION audit_change('erasure_id');
CREATE TRIGGER audited_truncate BEFORE TRUNCATE ON erasures
    FOR EACH STATEMENT EXECUTE FUNCTION audit_truncate('erasure_id');

-- Two records hold bytes of users: the audit log has incidents that were acknowledged, dead_letter_actions messages.
-- What they say of an action stays as it is; what a user has left in it can be taken out by a transaction that says
-- that it erases.
CREATE FUNCTION is_erasing() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('clickwire.erasing', true) = 'on', false)
$$;

CREATE OR REPLACE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND is_erasing() THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'audit_log can only be added to';
END
$$;
CREATE OR REPLACE FUNCTION refuse_change_of_dead_letter_actions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND is_erasing() THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'dead_letter_actions is appended to only';
END
$$;

-- The arguments are the columns that may change.
CREATE FUNCTION changes_no_more_than() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(OLD) - TG_ARGV::text[] IS DISTINCT FROM to_jsonb(NEW) - TG_ARGV::text[] THEN
        RAISE EXCEPTION 'an erasure changes no more than % of %', TG_ARGV, TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER erasable BEFORE UPDATE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION changes_no_more_than('before', 'after');
CREATE TRIGGER erasable BEFORE UPDATE ON dead_letter_actions
    FOR EACH ROW EXECUTE FUNCTION changes_no_more_than('payload', 'edited_payload');

-- Fraud rules: every version that was ever in force. A click is judged by the version that was in
-- force when it was received, so the same clicks get the same verdicts whenever they are counted.
CREATE TABLE fraud_rules (
    rule         text        NOT NULL,
    version      integer     NOT NULL CHECK (version > 0),
    mode         text        NOT NULL CHECK (mode IN ('off', 'report_only', 'flag')),
    parameters   jsonb       NOT NULL,
    effective_at timestamptz NOT NULL,
    changed_by   text        NOT NULL,
    reason       text        NOT NULL,
    PRIMARY KEY (rule, version),
    UNIQUE (rule, effective_at)
);
INSERT INTO fraud_rules (rule, version, mode, parameters, effective_at, changed_by, reason) VALUES
    ('user_agent',    1, 'flag', '{}', 'epoch', 'clickwire', 'default'),
    ('data_center',   1, 'flag', '{}', 'epoch', 'clickwire', 'default'),
    ('duplicate',     1, 'flag', '{"window_seconds": 60}', 'epoch', 'clickwire', 'default'),
    ('ip_velocity',   1, 'flag', '{"threshold": 100, "window_seconds": 60}', 'epoch', 'clickwire', 'default'),
    ('user_velocity', 1, 'flag', '{"threshold": 50, "window_seconds": 60}', 'epoch', 'clickwire', 'default');

-- Every rule that applies to a click, in order of precedence, whether it decided or only reports.
ALTER TABLE clicks ADD COLUMN evidence text[];
-- A person has set the verdict aside: the click is valid whatever the rules say.
ALTER TABLE clicks ADD COLUMN released boolean;

-- What the rules ask. Fixed, small keys; who asks compares the texts, too, for hashes may collide.
CREATE INDEX clicks_by_address ON clicks (ip_hash, clicked_at) WHERE ip_hash IS NOT NULL;
CREATE INDEX clicks_by_user ON clicks (hashtextextended(user_id, 0), clicked_at) WHERE user_id IS NOT NULL;
CREATE INDEX clicks_by_user_and_ad
    ON clicks (hashtextextended(ad_id, hashtextextended(user_id, 0)), clicked_at, click_id) WHERE user_id IS NOT NULL;

-- Verdicts that changed after they were counted. What an invoice was made from can be told from it.
CREATE TABLE adjustments (
    adjustment_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    adjusted_at      timestamptz NOT NULL DEFAULT now(),
    click_id         uuid        NOT NULL,
    clicked_at       timestamptz NOT NULL,
    advertiser_id    text        NOT NULL,
    from_disposition disposition NOT NULL,
    to_disposition   disposition NOT NULL,
    rule             text,
    rule_version     integer,
    -- 'rules', or the person who released the click.
    actor            text        NOT NULL,
    reason           text        NOT NULL
);
CREATE INDEX adjustments_by_click ON adjustments (click_id);
CREATE INDEX adjustments_by_advertiser ON adjustments (advertiser_id, adjusted_at);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON adjustments EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fraud_rules EXECUTE FUNCTION refuse_change();

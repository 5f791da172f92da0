-- Alerts: what operations must hear of. One row an incident, from its opening until it is over.
CREATE TYPE alert_severity AS ENUM ('warning', 'critical');

CREATE TABLE alerts (
    alert_id        uuid           PRIMARY KEY DEFAULT gen_random_uuid(),
    kind            text           NOT NULL CHECK (kind IN
        ('ip_burst', 'user_burst', 'campaign_spike', 'fraud_rate', 'lag', 'dead_letters')),
    -- Who or what: an address's hash, a user, a campaign, a stream.
    subject         text           NOT NULL,
    advertiser_id   text,
    campaign_id     text,
    severity        alert_severity NOT NULL,
    opened_at       timestamptz    NOT NULL DEFAULT clock_timestamp(),
    last_seen_at    timestamptz    NOT NULL DEFAULT clock_timestamp(),
    resolved_at     timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text,
    details         jsonb          NOT NULL,
    -- Grows with every change, so that of two copies the newer can be told.
    version         bigint         NOT NULL DEFAULT 1,
    CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
);
-- However often and by whomever it is seen: one open incident.
CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject) WHERE resolved_at IS NULL;
CREATE INDEX alerts_by_opening ON alerts (opened_at, alert_id);
CREATE INDEX alerts_by_end ON alerts (resolved_at) WHERE resolved_at IS NOT NULL;

-- What is news about an incident, in the order of commits: what gateways push on and webhooks are sent
-- from. An incident that is seen again is none.
CREATE TABLE alert_changes (
    seq             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id        uuid        NOT NULL REFERENCES alerts ON DELETE CASCADE,
    change          text        NOT NULL CHECK (change IN ('opened', 'escalated', 'acknowledged', 'resolved')),
    changed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The incident as it was then.
    alert           jsonb       NOT NULL,
    webhook_tries   integer     NOT NULL DEFAULT 0,
    -- NULL: delivered, or given up.
    webhook_due_at  timestamptz DEFAULT clock_timestamp()
);
CREATE INDEX alert_changes_of_alert ON alert_changes (alert_id, seq);
CREATE INDEX alert_changes_by_time ON alert_changes (changed_at);
CREATE INDEX alert_changes_due ON alert_changes (webhook_due_at) WHERE webhook_due_at IS NOT NULL;

CREATE FUNCTION rfc3339(at timestamptz) RETURNS text LANGUAGE sql STABLE
    RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- An incident as programs are told of it: `Alert` in crates/protocol/src/alerts.rs.
CREATE FUNCTION alert_document(a alerts) RETURNS jsonb LANGUAGE sql STABLE RETURN jsonb_build_object(
    'alert_id', a.alert_id, 'kind', a.kind, 'subject', a.subject, 'severity', a.severity,
    'advertiser_id', a.advertiser_id, 'campaign_id', a.campaign_id,
    'opened_at', rfc3339(a.opened_at), 'last_seen_at', rfc3339(a.last_seen_at),
    'resolved_at', rfc3339(a.resolved_at), 'acknowledged_at', rfc3339(a.acknowledged_at),
    'acknowledged_by', a.acknowledged_by, 'details', a.details, 'version', a.version);

-- News as programs are told of it: `Change` in the same place.
CREATE FUNCTION change_document(c alert_changes) RETURNS jsonb LANGUAGE sql STABLE RETURN jsonb_build_object(
    'seq', c.seq, 'change', c.change, 'changed_at', rfc3339(c.changed_at), 'alert', c.alert);

-- Whoever changes alerts waits here for the one before, so `seq` grows in the order of commits and
-- a reader who has seen one number has seen all below. Last of the locks that a transaction takes.
CREATE FUNCTION alerts_in_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('clickwire alerts', 0));
    RETURN NULL;
END
$$;
CREATE TRIGGER in_line BEFORE INSERT OR UPDATE ON alerts FOR EACH STATEMENT EXECUTE FUNCTION alerts_in_line();

CREATE FUNCTION alert_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;
CREATE TRIGGER version BEFORE UPDATE ON alerts FOR EACH ROW EXECUTE FUNCTION alert_version();

CREATE FUNCTION alert_news() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    news text := CASE
        WHEN TG_OP = 'INSERT' THEN 'opened'
        WHEN OLD.resolved_at IS NULL AND NEW.resolved_at IS NOT NULL THEN 'resolved'
        WHEN OLD.acknowledged_at IS NULL AND NEW.acknowledged_at IS NOT NULL THEN 'acknowledged'
        WHEN NEW.severity > OLD.severity THEN 'escalated'
    END;
BEGIN
    IF news IS NOT NULL THEN
        INSERT INTO alert_changes (alert_id, change, alert) VALUES (NEW.alert_id, news, alert_document(NEW));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER news AFTER INSERT OR UPDATE ON alerts FOR EACH ROW EXECUTE FUNCTION alert_news();

-- What campaigns are watched for. These judge no click; 'report_only' is on.
INSERT INTO fraud_rules (rule, version, mode, parameters, effective_at, changed_by, reason) VALUES
    ('campaign_spike', 1, 'report_only', '{"deviations": 6, "minimum_clicks": 30, "window_minutes": 60}',
     'epoch', 'clickwire', 'default'),
    ('fraud_rate', 1, 'report_only',
     '{"warning_percent": 3, "critical_percent": 5, "minimum_clicks": 30, "window_minutes": 10}',
     'epoch', 'clickwire', 'default');

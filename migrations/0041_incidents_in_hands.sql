-- What people do with incidents beside acknowledging them: notes, an assignee, a silence with an end, an end by hand.
-- A table gets no column with a default as long as a function takes its rows.
DROP FUNCTION alert_document(alerts);
ALTER TABLE alerts
    ADD COLUMN assigned_to    text,
    ADD COLUMN assigned_at    timestamptz,
    -- The person who has ended it, and why; NULL: it ended by itself.
    ADD COLUMN resolved_by    text,
    ADD COLUMN resolution     text,
    -- A silence is of a kind and a subject: the latest incident about them carries it, and the next takes it over.
    ADD COLUMN silenced_until timestamptz,
    ADD COLUMN silenced_by    text,
    ADD COLUMN silence_reason text,
    ADD COLUMN note_count     bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT alerts_assigned CHECK ((assigned_to IS NULL) = (assigned_at IS NULL)),
    ADD CONSTRAINT alerts_resolved CHECK ((resolved_by IS NULL) = (resolution IS NULL)),
    ADD CONSTRAINT alerts_silenced CHECK ((silenced_until IS NULL) = (silenced_by IS NULL)
                                      AND (silenced_until IS NULL) = (silence_reason IS NULL));
-- The latest incident about something.
CREATE INDEX alerts_by_subject ON alerts (kind, subject, opened_at);

CREATE TABLE alert_notes (
    note_id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id uuid        NOT NULL REFERENCES alerts ON DELETE CASCADE,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    author   text        NOT NULL,
    text     text        NOT NULL
);
CREATE INDEX alert_notes_of_alert ON alert_notes (alert_id, note_id);

ALTER TABLE alert_changes
    DROP CONSTRAINT alert_changes_change_check,
    ADD CONSTRAINT alert_changes_change_check CHECK (change IN
        ('opened', 'escalated', 'acknowledged', 'assigned', 'noted', 'silenced', 'unsilenced', 'resolved')),
    -- A silence keeps it from the webhook until then.
    ADD COLUMN held_until timestamptz;

-- Whether a silence is in force on what an incident is about, and the incident is the latest about it.
CREATE FUNCTION alert_is_silenced(a alerts) RETURNS boolean LANGUAGE sql STABLE RETURN
    coalesce(a.silenced_until > clock_timestamp(), false) AND NOT EXISTS (
        SELECT FROM alerts later WHERE later.kind = a.kind AND later.subject = a.subject AND later.opened_at > a.opened_at);

CREATE FUNCTION alert_document(a alerts) RETURNS jsonb LANGUAGE sql STABLE RETURN jsonb_build_object(
    'alert_id', a.alert_id, 'kind', a.kind, 'subject', a.subject, 'severity', a.severity,
    'advertiser_id', a.advertiser_id, 'campaign_id', a.campaign_id,
    'opened_at', rfc3339(a.opened_at), 'last_seen_at', rfc3339(a.last_seen_at),
    'resolved_at', rfc3339(a.resolved_at), 'resolved_by', a.resolved_by, 'resolution', a.resolution,
    'acknowledged_at', rfc3339(a.acknowledged_at), 'acknowledged_by', a.acknowledged_by,
    'assigned_at', rfc3339(a.assigned_at), 'assigned_to', a.assigned_to,
    'silenced_until', CASE WHEN alert_is_silenced(a) THEN rfc3339(a.silenced_until) END,
    'silenced_by', CASE WHEN alert_is_silenced(a) THEN a.silenced_by END,
    'silence_reason', CASE WHEN alert_is_silenced(a) THEN a.silence_reason END,
    'note_count', a.note_count, 'details', a.details, 'version', a.version);

-- A new incident about what is silenced is silent, too.
CREATE FUNCTION alert_takes_silence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    latest alerts;
BEGIN
    SELECT * INTO latest FROM alerts
     WHERE kind = NEW.kind AND subject = NEW.subject ORDER BY opened_at DESC LIMIT 1;
    IF latest.silenced_until > clock_timestamp() THEN
        NEW.silenced_until := latest.silenced_until;
        NEW.silenced_by := latest.silenced_by;
        NEW.silence_reason := latest.silence_reason;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER takes_silence BEFORE INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION alert_takes_silence();

-- What is news, and when the webhook may be told. A silence holds what the watchers find: it is told when the
-- silence ends, unless the incident is over by then. What people do is told at once.
CREATE OR REPLACE FUNCTION alert_news() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    news text := CASE
        WHEN TG_OP = 'INSERT' THEN 'opened'
        WHEN OLD.resolved_at IS NULL AND NEW.resolved_at IS NOT NULL THEN 'resolved'
        WHEN OLD.acknowledged_at IS NULL AND NEW.acknowledged_at IS NOT NULL THEN 'acknowledged'
        WHEN NEW.assigned_to IS DISTINCT FROM OLD.assigned_to THEN 'assigned'
        WHEN NEW.note_count > OLD.note_count THEN 'noted'
        WHEN OLD.silenced_until IS NOT NULL AND NEW.silenced_until IS NULL THEN 'unsilenced'
        WHEN NEW.silenced_until IS DISTINCT FROM OLD.silenced_until THEN 'silenced'
        WHEN NEW.severity > OLD.severity THEN 'escalated'
    END;
    present  timestamptz := clock_timestamp();
    is_told  boolean     := true;
    held     timestamptz;
BEGIN
    IF news IN ('opened', 'escalated') AND NEW.silenced_until > present THEN
        held := NEW.silenced_until;
    ELSIF news IN ('silenced', 'unsilenced') THEN
        UPDATE alert_changes SET held_until = coalesce(NEW.silenced_until, present),
                                 webhook_due_at = coalesce(NEW.silenced_until, present)
         WHERE alert_id = NEW.alert_id AND held_until > present AND webhook_due_at IS NOT NULL;
    ELSIF news = 'resolved' THEN
        -- A receiver that was not told of its beginning is told nothing of it.
        is_told := NOT EXISTS (SELECT FROM alert_changes
                                WHERE alert_id = NEW.alert_id AND change = 'opened' AND held_until > present);
        UPDATE alert_changes SET webhook_due_at = NULL
         WHERE alert_id = NEW.alert_id AND webhook_due_at IS NOT NULL AND (held_until > present OR NOT is_told);
    END IF;
    IF news IS NOT NULL THEN
        INSERT INTO alert_changes (alert_id, change, alert, held_until, webhook_due_at)
        VALUES (NEW.alert_id, news, alert_document(NEW), held,
                CASE WHEN is_told THEN coalesce(held, present) END);
    END IF;
    RETURN NULL;
END
$$;

-- What people decide is recorded; what the watchers write is nobody's act.
DROP TRIGGER audited ON alerts;
CREATE TRIGGER audited AFTER UPDATE ON alerts
    FOR EACH ROW WHEN (
        (OLD.acknowledged_at, OLD.assigned_to, OLD.resolved_by, OLD.silenced_until, OLD.note_count)
        IS DISTINCT FROM
        (NEW.acknowledged_at, NEW.assigned_to, NEW.resolved_by, NEW.silenced_until, NEW.note_count))
    EXECUTE FUNCTION audit_change('alert_id');

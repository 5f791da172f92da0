-- Exports that are made again and again: at an hour of each day, or of each Monday, about the day or week before.
CREATE TABLE report_schedules (
    schedule_id   uuid PRIMARY KEY,
    created_at    timestamptz NOT NULL DEFAULT now(),
    created_by    text NOT NULL,
    name          text NOT NULL,
    -- Whose data it has, and who may fetch it beside operators; NULL: all, operators alone.
    advertiser_id text,
    kind          text NOT NULL CHECK (kind IN ('breakdown', 'timeseries', 'clicks')),
    -- As over HTTP, by name, without times.
    parameters    jsonb NOT NULL,
    every         text NOT NULL CHECK (every IN ('day', 'week')),
    time_zone     text NOT NULL,
    hour          smallint NOT NULL CHECK (hour BETWEEN 0 AND 23),
    next_at       timestamptz NOT NULL
);
CREATE INDEX report_schedules_by_time ON report_schedules (next_at);
-- Not what the clock changes.
CREATE TRIGGER audited AFTER INSERT OR DELETE ON report_schedules
    FOR EACH ROW EXECUTE FUNCTION audit_change('schedule_id');
CREATE TRIGGER audited_truncate BEFORE TRUNCATE ON report_schedules
    FOR EACH STATEMENT EXECUTE FUNCTION audit_truncate('schedule_id');

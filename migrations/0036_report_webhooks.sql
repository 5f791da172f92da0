-- The address that a schedule's files are sent to, as well as kept for download.
ALTER TABLE report_schedules ADD COLUMN webhook_url text;

ALTER TABLE export_jobs
    ADD COLUMN webhook_url text,
    -- NULL: nobody is told.
    ADD COLUMN delivery text CHECK (delivery IN ('waiting', 'delivered', 'given_up')),
    -- Of attempts; one that is overtaken by another settles nothing.
    ADD COLUMN delivery_tries int NOT NULL DEFAULT 0,
    -- The next attempt, or when the one that is under way counts as dead.
    ADD COLUMN delivery_due timestamptz;
CREATE INDEX export_jobs_to_deliver ON export_jobs (delivery_due) WHERE delivery = 'waiting';

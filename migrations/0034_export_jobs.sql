-- Exports that are made while nobody waits, and their files in pieces: any server can make one, and any can send it.
-- A server that stops in the middle of one leaves it to another, which begins anew.
CREATE TABLE export_jobs (
    job_id      uuid PRIMARY KEY,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- With its file it is deleted then.
    expires_at  timestamptz NOT NULL,
    -- Who may fetch it, beside operators, and whose share it uses up.
    owner       text NOT NULL,
    owner_name  text NOT NULL,
    account_id  uuid,
    -- The advertisers that its owner could see; NULL: all.
    advertisers text[],
    kind        text NOT NULL CHECK (kind IN ('breakdown', 'timeseries', 'clicks')),
    -- As over HTTP, by name.
    parameters  jsonb NOT NULL,
    extension   text NOT NULL,
    status      text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed')),
    -- The attempt that may write its file, and when it last did.
    claim       uuid,
    beat_at     timestamptz,
    attempts    int NOT NULL DEFAULT 0,
    bytes       bigint NOT NULL DEFAULT 0,
    -- A code of the API, if it has failed.
    error       text
);
CREATE INDEX export_jobs_by_owner ON export_jobs (owner, created_at);
CREATE TABLE export_pieces (
    job_id uuid NOT NULL REFERENCES export_jobs ON DELETE CASCADE,
    number int NOT NULL,
    piece  bytea NOT NULL,
    PRIMARY KEY (job_id, number)
);
-- It is compressed already, or of no use to be.
ALTER TABLE export_pieces ALTER COLUMN piece SET STORAGE EXTERNAL;

-- Up to when each partition of the stream is counted, by the time of receipt; grows only. What was
-- received before it is in the ledger. A minute is final when the least of all partitions has passed
-- its end by three minutes: see crates/protocol/src/finality.rs.
CREATE TABLE watermarks (
    partition     integer     PRIMARY KEY CHECK (partition >= 0),
    counted_until timestamptz NOT NULL
);

-- Every comparison of buckets with the ledger, and what came of it.
CREATE TABLE reconciliations (
    reconciliation_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    finished_at       timestamptz NOT NULL DEFAULT now(),
    -- 'schedule' or 'command'.
    started_by        text        NOT NULL CHECK (started_by IN ('schedule', 'command')),
    range_start       timestamptz NOT NULL,
    range_end         timestamptz NOT NULL,
    -- Buckets that were not what the ledger adds up to, and how many of them were mended.
    differences       bigint      NOT NULL,
    repaired          bigint      NOT NULL
);
CREATE INDEX reconciliations_by_time ON reconciliations (finished_at DESC);

-- For recounting an hour without reading its whole day: a few kilobytes, for clicks come nearly in
-- the order of their times.
CREATE INDEX clicks_by_time ON clicks USING brin (clicked_at) WITH (pages_per_range = 32, autosummarize = on);

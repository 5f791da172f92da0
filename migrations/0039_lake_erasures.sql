-- Erasures of users that the lake is to carry out, and has. docs/decisions/0071-erasures-reach-the-lake.md
CREATE TABLE lake_erasures (
    -- The erasure of the ledger that it goes with.
    erasure_id        uuid        PRIMARY KEY,
    requested_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    advertiser_id     text        NOT NULL,
    -- sha256(salt || user): the lake finds the user by it. Forgotten as soon as the table is without the user.
    salt              bytea,
    user_hash         bytea,
    -- The last message of the stream when the lake first saw it: the messages up to there are archived first.
    stream_created_us bigint,
    last_seq          bigint,
    -- Rows that have lost their user.
    rows              bigint      NOT NULL DEFAULT 0,
    -- When the table was without the user, and its sequence number then: older snapshots still have the user.
    rewritten_at      timestamptz,
    sequence_number   bigint,
    -- When no object had the user any more.
    finished_at       timestamptz,
    CHECK ((stream_created_us IS NULL) = (last_seq IS NULL)),
    CHECK ((rewritten_at IS NULL) = (user_hash IS NOT NULL)),
    CHECK ((rewritten_at IS NULL) = (sequence_number IS NULL)),
    CHECK (finished_at IS NULL OR rewritten_at IS NOT NULL)
);
CREATE INDEX lake_erasures_open ON lake_erasures (requested_at) WHERE finished_at IS NULL;

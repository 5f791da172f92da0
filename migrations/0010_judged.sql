-- Whose clicks the latest batches brought: eight bytes, a hash, for each address and user. Who asks
-- about its batch before its turn to judge learns from here what has come meanwhile: see
-- aggregator/src/ledger/suspects.rs. Numbered in the order of commits, without gaps; the oldest go.
CREATE TABLE judged (
    number   bigint PRIMARY KEY,
    -- Hashes don't compress.
    subjects bytea  STORAGE EXTERNAL NOT NULL
);

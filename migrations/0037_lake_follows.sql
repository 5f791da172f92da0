-- Two more tables of the lake, which follow the ledger: adjustments and counts of days.
-- docs/decisions/0070-lake-follows-the-ledger.md

-- The high-water mark: adjustments up to it are in the lake's table. It moves in the transaction that moves the
-- table's pointer.
CREATE TABLE lake_adjustments (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_id  bigint  NOT NULL DEFAULT 0
);
INSERT INTO lake_adjustments DEFAULT VALUES;

-- How often each stored day has changed, whoever changed it and whether or not there is a lake.
CREATE TABLE day_changes (
    day     timestamptz PRIMARY KEY,
    changes bigint      NOT NULL DEFAULT 1
);
-- The changes of a day that the lake's table of counts has.
CREATE TABLE lake_days (
    day     timestamptz PRIMARY KEY,
    changes bigint      NOT NULL
);

-- A deletion of what can't be counted again is retention's, and no change. Who changes days has the lock of the
-- roll-up task (grains_locked), so no two sessions are here at once.
CREATE FUNCTION note_changed_days() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.day_changes AS d (day)
    SELECT DISTINCT c.bucket FROM changed AS c, public.rollup_progress AS p
     WHERE TG_OP <> 'DELETE' OR c.bucket >= p.minutes_from
     ORDER BY 1
        ON CONFLICT (day) DO UPDATE SET changes = d.changes + 1;
    RETURN NULL;
END
$$;

-- Whichever aggregator stores days just now ends that first.
LOCK TABLE rollup_progress IN SHARE ROW EXCLUSIVE MODE;
CREATE TRIGGER days_noted_of_inserted AFTER INSERT ON day_counts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_changed_days();
CREATE TRIGGER days_noted_of_updated AFTER UPDATE ON day_counts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_changed_days();
CREATE TRIGGER days_noted_of_deleted AFTER DELETE ON day_counts
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_changed_days();
INSERT INTO day_changes (day) SELECT DISTINCT bucket FROM day_counts;

-- Two more kinds of incident, for operators: background jobs of TimescaleDB that don't do their work, and
-- hours and days that nobody rolls up. Whatever other kinds there are stay.
DO $$
DECLARE
    kinds text := (SELECT pg_get_constraintdef(oid) FROM pg_constraint
                    WHERE conrelid = 'alerts'::regclass AND conname = 'alerts_kind_check');
BEGIN
    ALTER TABLE alerts DROP CONSTRAINT alerts_kind_check;
    EXECUTE 'ALTER TABLE alerts ADD CONSTRAINT alerts_kind_check '
        || regexp_replace(kinds, '''dead_letters''::text', '''dead_letters''::text, ''background_job''::text, ''rollups''::text');
END
$$;

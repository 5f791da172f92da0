-- A kind of incident for operators: the lake stands still, and clicks wait for it on the stream. Other kinds stay.
DO $$
DECLARE
    kinds text := (SELECT pg_get_constraintdef(oid) FROM pg_constraint
                    WHERE conrelid = 'alerts'::regclass AND conname = 'alerts_kind_check');
BEGIN
    ALTER TABLE alerts DROP CONSTRAINT alerts_kind_check;
    EXECUTE 'ALTER TABLE alerts ADD CONSTRAINT alerts_kind_check '
        || regexp_replace(kinds, '''dead_letters''::text', '''dead_letters''::text, ''lake_stalled''::text');
END
$$;

-- What the lake waits for, as its /health calls it; NULL after a commit, and as long as it can't say so.
ALTER TABLE lake_attachment ADD COLUMN waiting_for text;

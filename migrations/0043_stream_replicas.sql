-- A kind of incident for operators: a stream is on fewer brokers than it should be, or is not there. Other kinds stay.
DO $$
DECLARE
    kinds text := (SELECT pg_get_constraintdef(oid) FROM pg_constraint
                    WHERE conrelid = 'alerts'::regclass AND conname = 'alerts_kind_check');
BEGIN
    ALTER TABLE alerts DROP CONSTRAINT alerts_kind_check;
    EXECUTE 'ALTER TABLE alerts ADD CONSTRAINT alerts_kind_check '
        || regexp_replace(kinds, '''dead_letters''::text', '''dead_letters''::text, ''stream_replicas''::text');
END
$$;

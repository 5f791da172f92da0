-- TRUNCATE fires no trigger for rows, so what it took away left no record. Each row goes into the log as if it
-- had been deleted, and the statement itself, for a table may have been empty.

-- The argument is the key's column.
CREATE FUNCTION audit_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'SELECT audit(''truncate'', %L, to_jsonb(t) ->> %L,
                      to_jsonb(t) - ARRAY[''password_hash'', ''secret_hash'', ''previous_secret_hash''], NULL)
           FROM %I.%I AS t',
        TG_TABLE_NAME, TG_ARGV[0], TG_TABLE_SCHEMA, TG_TABLE_NAME);
    PERFORM audit('truncate', TG_TABLE_NAME, '*', NULL, NULL);
    RETURN NULL;
END
$$;

-- Every table that is audited, with the key that its trigger for rows has. A migration that audits another table
-- adds both triggers.
DO $$
DECLARE
    audited record;
BEGIN
    FOR audited IN
        SELECT tgrelid::regclass AS relation, convert_from(rtrim(tgargs, '\x00'::bytea), 'UTF8') AS key
          FROM pg_trigger WHERE tgname = 'audited' AND NOT tgisinternal
    LOOP
        EXECUTE format('CREATE TRIGGER audited_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT '
                       'EXECUTE FUNCTION audit_truncate(%L)', audited.relation, audited.key);
    END LOOP;
END
$$;

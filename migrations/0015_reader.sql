-- Who has made a role may give it to others, and not take it (PostgreSQL 16 and later), unless it is a
-- superuser. The migration before took the one for the other.
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'clickwire_reader', 'SET') THEN
        GRANT clickwire_reader TO CURRENT_USER;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role clickwire_reader can''t be taken'
            USING HINT = 'As a superuser: GRANT clickwire_reader TO ' || quote_ident(current_user);
END
$$;

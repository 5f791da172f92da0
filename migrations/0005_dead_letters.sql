-- What was done with dead letters. A letter leaves its stream only after the row here is written; the
-- row keeps its bytes, and those it was edited to.
CREATE TABLE dead_letter_actions (
    action_id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    acted_at       timestamptz NOT NULL DEFAULT now(),
    actor          text        NOT NULL,
    action         text        NOT NULL CHECK (action IN ('replay', 'dismiss')),
    reason         text        CHECK (reason IS NOT NULL OR action <> 'dismiss'),
    -- The dead-letter stream, and the letter's place on it.
    stream         text        NOT NULL,
    sequence       bigint      NOT NULL,
    code           text,
    click_id       uuid,
    payload        bytea       NOT NULL,
    edited_payload bytea,
    -- The message's place on the stream of clicks.
    replayed_as    bigint      CHECK ((replayed_as IS NOT NULL) = (action = 'replay'))
);
CREATE INDEX dead_letter_actions_by_letter ON dead_letter_actions (stream, sequence);

-- A record that can be changed proves nothing.
CREATE FUNCTION refuse_change_of_dead_letter_actions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'dead_letter_actions is appended to only';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON dead_letter_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_dead_letter_actions();

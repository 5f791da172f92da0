-- A dead letter is dealt with once. Its place is its sequence number on a stream that may be made anew, with
-- numbers from 1 again; so the stream's time of creation belongs to it. Rows of before have none, and
-- programs of before write none: they differ from each other and from all others.
ALTER TABLE dead_letter_actions
    ADD COLUMN generation timestamptz,
    -- Whose click an administrator said it is, where the message did not say, or said another.
    ADD COLUMN named_advertiser text CHECK (named_advertiser IS NULL OR reason IS NOT NULL);
CREATE UNIQUE INDEX dead_letter_actions_once ON dead_letter_actions (stream, generation, sequence);

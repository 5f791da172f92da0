-- Whose database this is: the name (`CLICKWIRE_STREAM`) under which clicks are published and locks taken. The first
-- aggregator that counts writes it down; a program that comes with another name is refused, for it would take
-- other locks for the same rows.
CREATE TABLE deployment (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    stream    text    NOT NULL
);

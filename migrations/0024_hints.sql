-- Whether a key is told at once that a click looks fraudulent: for programs that the operator trusts,
-- because who may ask can find out how to pass.
ALTER TABLE api_keys ADD COLUMN hints boolean NOT NULL DEFAULT false;

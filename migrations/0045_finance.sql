-- A role for people who bill: every advertiser's numbers, no single clicks, nothing of operations. A server of before
-- takes its accounts for unknown and lets nobody in with them.
ALTER TABLE accounts
    DROP CONSTRAINT accounts_role_check,
    ADD CONSTRAINT accounts_role_check CHECK (role IN ('advertiser', 'finance', 'ops', 'admin'));

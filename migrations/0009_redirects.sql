-- Redirect links: how an advertiser wants to be told the click id, and what is made of clicks that
-- nobody made and of ids that nobody signed.

-- Pairs name=value joined by &, appended to the target's query. Checked where it is written, by
-- server/src/redirect/target.rs.
ALTER TABLE advertisers ADD COLUMN click_id_template text NOT NULL DEFAULT 'cw_click_id={click_id}';

INSERT INTO fraud_rules (rule, version, mode, parameters, effective_at, changed_by, reason) VALUES
    ('prefetch',        1, 'flag', '{}', 'epoch', 'clickwire', 'default'),
    ('forged_click_id', 1, 'flag', '{}', 'epoch', 'clickwire', 'default');

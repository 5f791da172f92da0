-- Robots are told by a list with a number, and the rule's version names it: the list before it goes on
-- judging what was received under it.

-- The kind of robot that the user agent declares, whether that decided or only reports.
ALTER TABLE clicks ADD COLUMN robot text;

-- With the mode that the operator has set. Where clicks are being counted it begins in ten minutes:
-- programs from before it, which do not know the list, are to be stopped by then.
INSERT INTO fraud_rules (rule, version, mode, parameters, effective_at, changed_by, reason)
SELECT rule, version + 1, mode, '{"list": 2}',
       CASE WHEN EXISTS (SELECT FROM clicks)
            THEN date_trunc('milliseconds', greatest(now(), effective_at)) + INTERVAL '10 minutes'
            ELSE effective_at + INTERVAL '1 millisecond'
       END,
       'clickwire', 'list 2: crawler-user-agents 1.67.0'
  FROM fraud_rules WHERE rule = 'user_agent' ORDER BY version DESC LIMIT 1;

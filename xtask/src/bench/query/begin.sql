-- As if hours had been stored up to the first minute: the roll-up task stores all that follow, and minutes leave no
-- marks while they are filled in.
BEGIN;
LOCK TABLE rollup_progress IN SHARE ROW EXCLUSIVE MODE;
UPDATE rollup_progress SET minutes_from = :'first', settled_after = NULL, hours_before = :'first', marks_before = :'first',
       days_before = date_trunc('day', :'first'::timestamptz, 'UTC');
COMMIT;

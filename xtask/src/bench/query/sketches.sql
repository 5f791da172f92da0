-- Sketches of unique users by campaign, from the temporary table of the given ones: full ones of hours, of which days
-- are folded by housekeeping, and small ones of the last two days' minutes, which are in their hours.
INSERT INTO unique_hours (bucket, advertiser_id, campaign_id, sketch)
SELECT hour, format('adv_%s', lpad(a::text, 3, '0')), format('camp_%s_%s', a, lpad(c::text, 2, '0')), sketch
  FROM generate_series(:'first'::timestamptz, :'end'::timestamptz - INTERVAL '1 hour', INTERVAL '1 hour') AS hour,
       generate_series(1, 4) AS a, generate_series(1, 10) AS c
  JOIN LATERAL (SELECT sketch FROM given
                 WHERE is_full AND number = (extract(epoch FROM hour)::bigint / 3600 + a * 10 + c) % 64) AS s ON true;
INSERT INTO unique_minutes (bucket, advertiser_id, campaign_id, folded, sketch)
SELECT minute, format('adv_%s', lpad(a::text, 3, '0')), format('camp_%s_%s', a, lpad(c::text, 2, '0')), true, sketch
  FROM generate_series(:'end'::timestamptz - INTERVAL '47 hours', :'end'::timestamptz - INTERVAL '1 minute',
                       INTERVAL '1 minute') AS minute,
       generate_series(1, 4) AS a, generate_series(1, 10) AS c
  JOIN LATERAL (SELECT sketch FROM given
                 WHERE NOT is_full AND number = (extract(epoch FROM minute)::bigint / 60 + a * 10 + c) % 64) AS s ON true;

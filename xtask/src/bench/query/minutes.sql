-- Minutes of [from, to): 4 advertisers, 10 campaigns each, 5 ads a campaign, in 5 countries, on 3 device types; of
-- these 3,000 so many in each minute.
INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid, duplicate, givt, sivt)
SELECT minute,
       format('adv_%s', lpad((ad / 50 + 1)::text, 3, '0')),
       format('camp_%s_%s', ad / 50 + 1, lpad((ad / 5 % 10 + 1)::text, 2, '0')),
       format('ad_%s', lpad(ad::text, 3, '0')),
       (ARRAY['DE', 'FR', 'GB', 'IT', 'US'])[cell % 5 + 1],
       (ARRAY['desktop', 'mobile', 'tablet'])[cell / 5 % 3 + 1],
       1 + (cell + number) % 9, number % 11 / 10, number % 13 / 12, number % 17 / 16
  FROM (SELECT minute, cell, cell / 15 AS ad, number
          FROM generate_series(:'from'::timestamptz, :'to'::timestamptz - INTERVAL '1 minute', INTERVAL '1 minute') AS minute,
               generate_series(0, :cells - 1) AS number,
               LATERAL (SELECT ((extract(epoch FROM minute)::bigint / 60 * 7919 + number * 1009) % 3000)::int AS cell) AS c
       ) AS cells;

-- A day of clicks from :from on, in the order of their times, as people and robots have them: names of users, a tenth
-- without, verdicts of three kinds, what links come with for every fourth.
INSERT INTO clicks (click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, device_type, os, browser,
                    user_id, ip_hash, disposition, rule, rule_version, evidence, params, referrer, stream_seq)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text || at::text), 1, 3) ||
        '8' || substr(md5(at::text || n::text), 1, 15))::uuid,
       at, at, 'adv_001', format('camp_%s', n % 10), format('ad_%s', n % 200),
       (ARRAY['DE', 'FR', 'GB', 'IT', 'US'])[n % 5 + 1], (ARRAY['desktop', 'mobile', 'tablet'])[n % 3 + 1],
       (ARRAY['Android', 'iOS', 'Windows'])[n % 3 + 1], (ARRAY['Chrome', 'Safari', 'Firefox', 'Edge'])[n % 4 + 1],
       CASE WHEN n % 10 > 0 THEN format('user-%s', n % 100000) END, decode(md5((n % 50000)::text), 'hex'),
       (CASE n % 20 WHEN 0 THEN 'givt' WHEN 1 THEN 'sivt' ELSE 'valid' END)::disposition,
       CASE n % 20 WHEN 0 THEN 'bot_user_agent' WHEN 1 THEN 'ip_velocity' END, CASE WHEN n % 20 < 2 THEN 1 END,
       CASE n % 20 WHEN 0 THEN ARRAY['bot_user_agent'] WHEN 1 THEN ARRAY['ip_velocity', 'user_velocity'] END,
       CASE n % 4 WHEN 0 THEN jsonb_build_object('gclid', md5(n::text), 'utm_source', 'a "newsletter"') END,
       CASE WHEN n % 3 > 0 THEN format('https://shop%s.example/products', n % 40) END, n
  FROM generate_series(1, :clicks) AS n,
       LATERAL (SELECT :'from'::timestamptz + n * (INTERVAL '1 day' / :clicks) - INTERVAL '1 microsecond' AS at) AS t;

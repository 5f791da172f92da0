-- Demonstration data; harmless to run again.
INSERT INTO advertisers (advertiser_id, name) VALUES
    ('adv_001', 'Nordlicht Outdoor'), ('adv_002', 'Casa Verde'), ('adv_003', 'Blue Harbor Travel')
ON CONFLICT DO NOTHING;

INSERT INTO campaigns (campaign_id, advertiser_id, name) VALUES
    ('camp_001', 'adv_001', 'Winter jackets'), ('camp_002', 'adv_001', 'Brand search'),
    ('camp_003', 'adv_001', 'Retargeting'), ('camp_004', 'adv_001', 'Newsletter'),
    ('camp_005', 'adv_002', 'Garden furniture'), ('camp_006', 'adv_002', 'Spring planting'),
    ('camp_007', 'adv_003', 'City breaks'), ('camp_008', 'adv_003', 'Last minute')
ON CONFLICT DO NOTHING;

-- Two ads for each campaign: ad_001 and ad_002 for camp_001, and so on.
INSERT INTO ads (ad_id, campaign_id, name, target_url)
SELECT 'ad_' || lpad((2 * n - 1 + variant)::text, 3, '0'),
       'camp_' || lpad(n::text, 3, '0'),
       CASE variant WHEN 0 THEN 'Banner' ELSE 'Text' END,
       'https://example.com/' || n || '/' || variant
  FROM generate_series(1, 8) AS n, generate_series(0, 1) AS variant
ON CONFLICT DO NOTHING;

-- Who advertises what. Ids are chosen by the operator and stand in every click.
CREATE TABLE advertisers (
    advertiser_id text PRIMARY KEY,
    name          text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE campaigns (
    campaign_id   text PRIMARY KEY,
    advertiser_id text NOT NULL REFERENCES advertisers,
    name          text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX campaigns_by_advertiser ON campaigns (advertiser_id);

CREATE TABLE ads (
    ad_id       text PRIMARY KEY,
    campaign_id text NOT NULL REFERENCES campaigns,
    name        text NOT NULL,
    target_url  text NOT NULL CHECK (target_url ~ '^https?://'),
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ads_by_campaign ON ads (campaign_id);

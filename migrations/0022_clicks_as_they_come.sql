-- Keys whose clicks may have fields that no click has.
ALTER TABLE api_keys ADD COLUMN ignores_unknown_fields boolean NOT NULL DEFAULT false;

-- What of the query of a link goes on to the advertiser: names, names that end in *, or * for all of it.
-- Checked where it is written, by server/src/redirect/query.rs.
ALTER TABLE advertisers ADD COLUMN forwarded_params text[] NOT NULL DEFAULT '{*}';

-- Where else than to its target an ad's link may lead, if its query says so: hosts, with a port if it is
-- not the usual one, or self for the target's own. Checked by server/src/redirect/landing.rs.
ALTER TABLE ads ADD COLUMN landing_hosts text[] NOT NULL DEFAULT '{self}';

-- Where a click came from: networks' click ids and the like by name, and the page, without its query.
-- NULL where nothing was told, so that clicks without take no room.
ALTER TABLE clicks ADD COLUMN params jsonb;
ALTER TABLE clicks ADD COLUMN referrer text;

-- Click ids and users are names within an advertiser: the same name with another advertiser is another
-- click, another user. Addresses are counted across advertisers where the operator vouches for them; a
-- click that a key bound to advertisers has posted speaks about its own advertiser's clicks alone. The
-- past is not judged again: what is in the ledger counts as vouched for, as it did.
--
-- Clicks wait on the stream while this runs: it builds four indexes, about as long as a restore of them
-- takes. Aggregators from before it must be stopped: they know click ids and users without advertisers.

ALTER TABLE clicks ADD COLUMN bound boolean;

-- The id first, for ids are looked up many at a time and are neighbours, as those of one time are. What an
-- advertiser can put under an id is one click in two days, so nobody can make another's ids slow.
ALTER TABLE clicks DROP CONSTRAINT clicks_pkey;
CREATE UNIQUE INDEX clicks_by_id ON clicks (click_id, clicked_at, advertiser_id);

-- What the rules ask. Fixed, small keys; who asks compares the texts, too, for hashes may collide. No
-- index has other advertisers' clicks between those that a rule may see: a flood of one name is in nobody
-- else's way.
DROP INDEX clicks_by_address;
DROP INDEX clicks_by_user;
DROP INDEX clicks_by_user_and_ad;
CREATE INDEX clicks_by_address ON clicks (ip_hash, clicked_at) WHERE ip_hash IS NOT NULL AND bound IS NOT TRUE;
CREATE INDEX clicks_by_bound_address ON clicks (ip_hash, advertiser_id, clicked_at) WHERE ip_hash IS NOT NULL AND bound;
CREATE INDEX clicks_by_user
    ON clicks (hashtextextended(user_id, hashtextextended(advertiser_id, 0)), clicked_at) WHERE user_id IS NOT NULL;
CREATE INDEX clicks_by_user_and_ad
    ON clicks (hashtextextended(ad_id, hashtextextended(user_id, hashtextextended(advertiser_id, 0))), clicked_at, click_id)
    WHERE user_id IS NOT NULL;

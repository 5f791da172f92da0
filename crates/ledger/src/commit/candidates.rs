//! Candidates: the new clicks that the rules which see clicks beside each other need to be asked about. Most clicks are
//! alone: one index probe for the user and one for the address tell.
//!
//! That takes longer than everything else that is done about verdicts, so it is done before the batch's
//! turn to judge, while other batches are. What these bring until then can't have been seen; so each
//! batch leaves the hashes of its users and addresses among the recent commits, in their order, and a click of
//! this batch that a later one names is a candidate, too. (Their table is called `judged`, for older versions that run
//! beside this one.) Candidates are only asked about; the rules, under the deployment's lock, decide. So an address is
//! named even if its poster alone vouches for it: the rule says whom a click of it concerns.

use std::{collections::HashSet, iter};

use clickwire_protocol::rules::Rule;
use sqlx::PgConnection;

use super::{entry::Entry, velocity};
use crate::{at, rules::Rules};

/// Clicks of a user that are looked through, if no threshold says how many.
const LOOKED_THROUGH: u32 = 50;

/// Recent commits that are kept. A batch that has waited for more asks again.
const RECENT_COMMITS: i64 = 64;

/// New clicks, by the rules that are to be asked: places in the batch's list of them.
pub(super) struct Candidates {
    /// The last commit whose clicks were in the ledger, judged, when the candidates were found.
    latest_commit: i64,
    /// The user may have clicked the same ad before or after.
    repeated: HashSet<usize>,
    /// The user may have clicked more often than a threshold allows.
    fast_users: HashSet<usize>,
    /// The same of the address.
    fast_addresses: HashSet<usize>,
}

impl Candidates {
    /// The clicks that a rule is to be asked about.
    pub(super) fn of<'a>(&self, rule: Rule, fresh: &[&'a Entry<'a>]) -> Vec<&'a Entry<'a>> {
        let candidates = match rule {
            Rule::IpVelocity => &self.fast_addresses,
            Rule::UserVelocity => &self.fast_users,
            _ => &self.repeated,
        };
        let is_candidate = |(place, _): &(usize, &Entry<'_>)| candidates.contains(place);
        fresh.iter().copied().enumerate().filter(is_candidate).map(|(_, entry)| entry).collect()
    }

    /// Adds the clicks that other batches have named since, and names the batch's own; under the deployment's lock.
    pub(super) async fn add_from_others(
        &mut self,
        connection: &mut PgConnection,
        fresh: &[&Entry<'_>],
        rules: &Rules,
    ) -> Result<(), sqlx::Error> {
        if fresh.is_empty() {
            return Ok(());
        }
        let named = judged(fresh).flat_map(|(_, entry)| subjects(entry));
        let named: Vec<u8> = named.flat_map(u64::to_be_bytes).collect();
        let since: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "WITH ours AS (INSERT INTO judged (number, subjects) SELECT coalesce(max(number), 0) + 1, $3 FROM judged), \
                  gone AS (DELETE FROM judged WHERE number <= $1 - $2) \
             SELECT number, subjects FROM judged WHERE number > $1 ORDER BY number",
        )
        .bind(self.latest_commit)
        .bind(RECENT_COMMITS)
        .bind(named)
        .fetch_all(&mut *connection)
        .await?;
        if since.first().is_some_and(|&(number, _)| number != self.latest_commit + 1) {
            // Some are forgotten already. Nobody else judges now, so what we find is all there is.
            *self = find(connection, fresh, rules).await?;
            return Ok(());
        }
        let since: HashSet<u64> = since
            .iter()
            .flat_map(|(_, named)| named.as_chunks().0)
            .map(|&subject| u64::from_be_bytes(subject))
            .collect();
        for (place, _) in
            judged(fresh).filter(|(_, entry)| subjects(entry).any(|subject| since.contains(&subject)))
        {
            for candidates in [&mut self.repeated, &mut self.fast_users, &mut self.fast_addresses] {
                candidates.insert(place);
            }
        }
        Ok(())
    }
}

/// Looks at new clicks, which are in the ledger already.
pub(super) async fn find(
    connection: &mut PgConnection,
    fresh: &[&Entry<'_>],
    rules: &Rules,
) -> Result<Candidates, sqlx::Error> {
    // First: what is judged while we ask may or may not be seen.
    let latest_commit =
        sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM judged").fetch_one(&mut *connection).await?;
    let (repeated, fast_users) = by_user(connection, fresh, rules).await?;
    let crowds = velocity::crowds(connection, Rule::IpVelocity, fresh, rules).await?;
    let is_crowded = |(_, entry): &(usize, &Entry<'_>)| {
        velocity::subject(Rule::IpVelocity, entry).is_some_and(|subject| crowds.contains(&subject))
    };
    let fast_addresses = judged(fresh).filter(is_crowded).map(|(place, _)| place).collect();
    Ok(Candidates { latest_commit, repeated, fast_users, fast_addresses })
}

/// Clicks whose user has clicked the same ad in a rule's reach, and clicks with more around them than
/// are looked through.
async fn by_user(
    connection: &mut PgConnection,
    fresh: &[&Entry<'_>],
    rules: &Rules,
) -> Result<(HashSet<usize>, HashSet<usize>), sqlx::Error> {
    let (repeats, velocity) = (rules.reach(Rule::Duplicate), rules.reach(Rule::UserVelocity));
    let window_ms = [repeats, velocity].into_iter().flatten().map(|reach| reach.window_ms).max();
    let (places, asked): (Vec<usize>, Vec<&Entry<'_>>) =
        judged(fresh).filter(|(_, entry)| entry.click().user_id.is_some()).unzip();
    let times = || asked.iter().map(|entry| entry.examined.counted_at_ms);
    let (Some(window_ms), Some(first), Some(last)) = (window_ms, times().min(), times().max()) else {
        return Ok((HashSet::new(), HashSet::new()));
    };
    let looked_through = velocity.map_or(LOOKED_THROUGH, |reach| reach.lowest_threshold);
    // The bounds keep the planner from looking into every chunk.
    let rows: Vec<(i64, bool)> = sqlx::query_as(
        "SELECT k.n, company.clicks > $8 \
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $9::text[]) WITH ORDINALITY \
             AS k (id, usr, ad, since, until, adv, n) \
         CROSS JOIN LATERAL (SELECT count(*) AS clicks, bool_or(near.ad_id = k.ad AND near.click_id <> k.id) AS is_repeated \
            FROM (SELECT c.ad_id, c.click_id FROM clicks c \
                   WHERE hashtextextended(c.user_id, hashtextextended(c.advertiser_id, 0)) \
                           = hashtextextended(k.usr, hashtextextended(k.adv, 0)) AND c.user_id IS NOT NULL \
                     AND c.clicked_at > k.since AND c.clicked_at < k.until AND c.clicked_at BETWEEN $6 AND $7 \
                   LIMIT $8 + 1) AS near) AS company \
          WHERE company.clicks > $8 OR company.is_repeated",
    )
    .bind(asked.iter().map(|entry| entry.click().click_id).collect::<Vec<_>>())
    .bind(asked.iter().map(|entry| entry.click().user_id.as_deref()).collect::<Vec<_>>())
    .bind(asked.iter().map(|entry| entry.click().dimensions.ad_id.as_str()).collect::<Vec<_>>())
    .bind(times().map(|at_ms| at(at_ms - window_ms)).collect::<Vec<_>>())
    .bind(times().map(|at_ms| at(at_ms + window_ms)).collect::<Vec<_>>())
    .bind(at(first - window_ms))
    .bind(at(last + window_ms))
    .bind(i64::from(looked_through))
    .bind(asked.iter().map(|entry| entry.click().advertiser_id.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let (mut repeated, mut crowded) = (HashSet::new(), HashSet::new());
    for (number, is_crowded) in rows {
        let Some(&place) = usize::try_from(number - 1).ok().and_then(|number| places.get(number)) else {
            continue;
        };
        repeated.insert(place);
        if is_crowded {
            crowded.insert(place);
        }
    }
    Ok((repeated, crowded))
}

/// The clicks that rules judge, with their places.
fn judged<'a>(fresh: &[&'a Entry<'a>]) -> impl Iterator<Item = (usize, &'a Entry<'a>)> {
    fresh.iter().copied().enumerate().filter(|(_, entry)| entry.examined.outside.is_none())
}

/// The hashes of a click's user and address.
fn subjects(entry: &Entry<'_>) -> impl Iterator<Item = u64> {
    let advertiser = || entry.click().advertiser_id.as_str().bytes().chain(iter::once(0));
    let user = entry.click().user_id.iter().map(move |user| hash(1, advertiser().chain(user.bytes())));
    // The ledger knows the bytes, not how they were written.
    let address = |address: &String| hash(2, address.bytes().map(|digit| digit.to_ascii_lowercase()));
    user.chain(entry.click().ip_hash.iter().map(address))
}

/// FNV-1a: the same in every build, for aggregators of different builds work side by side.
fn hash(kind: u8, bytes: impl Iterator<Item = u8>) -> u64 {
    iter::once(kind).chain(bytes).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_every_release() {
        assert_eq!(hash(b'f', "oobar".bytes()), 0x8594_4171_f739_67e8, "as published for foobar");
    }
}

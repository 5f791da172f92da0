//! Which new clicks are not their user's only ones for a while: all that the rules about users need to
//! be asked of, found by one index probe a click.
//!
//! Who clicks more often than the index is read for is asked by the rules themselves, whose probes are
//! bounded whatever the user does.

use std::collections::HashSet;

use clickwire_protocol::rules::Rule;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Entry, at};
use crate::rules::Rules;

/// Clicks of a user that are looked through, if no threshold says how many.
const LOOKED_THROUGH: u32 = 50;

/// New clicks, by what else their users did in the reach of a rule.
#[derive(Default)]
pub(super) struct Company {
    /// More than can be looked through.
    crowded: HashSet<Uuid>,
    /// Not crowded, and another click on the same ad.
    repeated: HashSet<Uuid>,
}

impl Company {
    /// Those whose users may have clicked the same ad before or after.
    pub(super) fn may_repeat<'a>(&self, fresh: &[&'a Entry<'a>]) -> Vec<&'a Entry<'a>> {
        let may = |id: &Uuid| self.repeated.contains(id) || self.crowded.contains(id);
        fresh.iter().copied().filter(|entry| may(&entry.click().click_id)).collect()
    }

    /// Those whose users may have clicked more often than a threshold allows.
    pub(super) fn may_be_crowded<'a>(&self, fresh: &[&'a Entry<'a>]) -> Vec<&'a Entry<'a>> {
        fresh.iter().copied().filter(|entry| self.crowded.contains(&entry.click().click_id)).collect()
    }
}

/// Looks at the new clicks, which are in the ledger already.
pub(super) async fn find(
    connection: &mut PgConnection,
    fresh: &[&Entry<'_>],
    rules: &Rules,
) -> Result<Company, sqlx::Error> {
    let (repeats, velocity) = (rules.reach(Rule::Duplicate), rules.reach(Rule::UserVelocity));
    let window_ms = [repeats, velocity].into_iter().flatten().map(|reach| reach.window_ms).max();
    let asked: Vec<&Entry<'_>> = fresh
        .iter()
        .copied()
        .filter(|entry| entry.examined.outside.is_none() && entry.click().user_id.is_some())
        .collect();
    let times = || asked.iter().map(|entry| entry.examined.counted_at_ms);
    let (Some(window_ms), Some(first), Some(last)) = (window_ms, times().min(), times().max()) else {
        return Ok(Company::default());
    };
    let looked_through = velocity.map_or(LOOKED_THROUGH, |reach| reach.lowest_threshold);
    // The bounds keep the planner from looking into every chunk.
    let rows: Vec<(Uuid, bool)> = sqlx::query_as(
        "SELECT k.id, company.clicks > $8 \
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[]) AS k (id, usr, ad, since, until) \
         CROSS JOIN LATERAL (SELECT count(*) AS clicks, bool_or(near.ad_id = k.ad AND near.click_id <> k.id) AS is_repeated \
            FROM (SELECT c.ad_id, c.click_id FROM clicks c \
                   WHERE hashtextextended(c.user_id, 0) = hashtextextended(k.usr, 0) AND c.user_id IS NOT NULL \
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
    .fetch_all(connection)
    .await?;
    let mut company = Company::default();
    for (click_id, is_crowded) in rows {
        let found = if is_crowded { &mut company.crowded } else { &mut company.repeated };
        found.insert(click_id);
    }
    Ok(company)
}

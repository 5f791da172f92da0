//! Repeated clicks: a click is a duplicate when another click of the same user and ad
//! precedes it by less than the window, whether or not that one is itself a duplicate. Users and ads are
//! names within an advertiser: what is named alike with another is somebody and something else.
//!
//! So only neighbours matter: a new click is a duplicate because of the one right before it, and
//! makes a duplicate of the one right after it, whose other predecessors are farther away. Clicks at
//! the same millisecond follow each other by id.

use clickwire_protocol::{rules::Rule, times::UnixMs};
use sqlx::PgConnection;
use uuid::Uuid;

use super::entry::{Conviction, Entry};
use crate::{at, rules::Rules};

/// Finds repeats among new clicks, which are in the ledger already and may have neighbours, and among these
/// neighbours.
pub(super) async fn find(
    connection: &mut PgConnection,
    asked: &[&Entry<'_>],
    rules: &Rules,
) -> Result<Vec<Conviction>, sqlx::Error> {
    let Some(reach) = rules.reach(Rule::Duplicate) else { return Ok(Vec::new()) };
    let mut convictions = Vec::new();
    for (entry, neighbours) in neighbours(connection, asked, reach.window_ms).await? {
        let counted_at_ms = entry.examined.counted_at_ms;
        let is_within = |gap_ms: i64, received_at_ms: UnixMs| {
            rules.at(Rule::Duplicate, received_at_ms).is_some_and(|rule| gap_ms < rule.setting.window_ms())
        };
        if let Some(before_ms) = neighbours.before_ms
            && is_within(counted_at_ms - before_ms, entry.click().received_at_ms)
        {
            convictions.push(Conviction { click: entry.row_key(), rule: Rule::Duplicate });
        }
        if let Some(after) = neighbours.after
            && is_within(after.clicked_at_ms - counted_at_ms, after.received_at_ms)
        {
            let click = (after.click_id, after.clicked_at_ms, entry.click().advertiser_id.clone());
            convictions.push(Conviction { click, rule: Rule::Duplicate });
        }
    }
    Ok(convictions)
}

/// The clicks right before and right after one, by the same user on the same ad.
struct Neighbours {
    before_ms: Option<UnixMs>,
    after: Option<After>,
}

struct After {
    click_id: Uuid,
    clicked_at_ms: UnixMs,
    received_at_ms: UnixMs,
}

type NeighbourRow = (i64, Option<UnixMs>, Option<Uuid>, Option<UnixMs>, Option<UnixMs>);

async fn neighbours<'a>(
    connection: &mut PgConnection,
    asked: &[&'a Entry<'a>],
    window_ms: i64,
) -> Result<Vec<(&'a Entry<'a>, Neighbours)>, sqlx::Error> {
    let times = || asked.iter().map(|entry| entry.examined.counted_at_ms);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(Vec::new()) };
    // The bounds keep the planner from looking into every chunk.
    let rows: Vec<NeighbourRow> = sqlx::query_as(
        "WITH k AS MATERIALIZED (SELECT *, hashtextextended(ad, hashtextextended(usr, hashtextextended(adv, 0))) AS hash \
           FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $8::text[]) WITH ORDINALITY \
             AS t (id, clicked, usr, ad, adv, n)) \
         SELECT k.n, (extract(epoch FROM before.clicked_at) * 1000)::bigint, after.click_id, \
                (extract(epoch FROM after.clicked_at) * 1000)::bigint, (extract(epoch FROM after.received_at) * 1000)::bigint \
           FROM k \
         LEFT JOIN LATERAL (SELECT c.clicked_at FROM clicks c \
            WHERE hashtextextended(c.ad_id, hashtextextended(c.user_id, hashtextextended(c.advertiser_id, 0))) = k.hash \
              AND c.user_id = k.usr AND c.ad_id = k.ad AND c.advertiser_id = k.adv \
              AND (c.clicked_at, c.click_id) < (k.clicked, k.id) AND c.clicked_at > k.clicked - $5 * INTERVAL '1 ms' \
              AND c.clicked_at BETWEEN $6 AND $7 AND c.disposition NOT IN ('test', 'defective') \
            ORDER BY c.clicked_at DESC, c.click_id DESC LIMIT 1) AS before ON true \
         LEFT JOIN LATERAL (SELECT c.click_id, c.clicked_at, c.received_at FROM clicks c \
            WHERE hashtextextended(c.ad_id, hashtextextended(c.user_id, hashtextextended(c.advertiser_id, 0))) = k.hash \
              AND c.user_id = k.usr AND c.ad_id = k.ad AND c.advertiser_id = k.adv \
              AND (c.clicked_at, c.click_id) > (k.clicked, k.id) AND c.clicked_at < k.clicked + $5 * INTERVAL '1 ms' \
              AND c.clicked_at BETWEEN $6 AND $7 AND c.disposition NOT IN ('test', 'defective') \
            ORDER BY c.clicked_at, c.click_id LIMIT 1) AS after ON true",
    )
    .bind(asked.iter().map(|entry| entry.click().click_id).collect::<Vec<_>>())
    .bind(times().map(at).collect::<Vec<_>>())
    .bind(asked.iter().map(|entry| entry.click().user_id.as_deref()).collect::<Vec<_>>())
    .bind(asked.iter().map(|entry| entry.click().dimensions.ad_id.as_str()).collect::<Vec<_>>())
    .bind(window_ms as f64)
    .bind(at(first - window_ms))
    .bind(at(last + window_ms))
    .bind(asked.iter().map(|entry| entry.click().advertiser_id.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let found =
        |(number, before_ms, id, clicked, received): NeighbourRow| {
            let entry = *asked.get(usize::try_from(number - 1).ok()?)?;
            let after = id.zip(clicked).zip(received).map(|((click_id, clicked_at_ms), received_at_ms)| {
                After { click_id, clicked_at_ms, received_at_ms }
            });
            Some((entry, Neighbours { before_ms, after }))
        };
    Ok(rows.into_iter().filter_map(found).collect())
}

//! Clicks faster than people make them: a click is convicted when it lies in some half-open window of
//! time that holds more clicks of its address (of its user) than the threshold.
//!
//! Seen in the order of time: when it belongs to some run of `threshold + 1` clicks whose first and
//! last are less than a window apart. So the `threshold` clicks on either side of the new ones are
//! all that matter; whatever lies beyond them is unaffected or convicted already.
//!
//! Which clicks count depends on whose click is judged. A user is one advertiser's. Of an address, a click
//! of advertiser A is judged beside the clicks that the operator vouches for, of all advertisers, and those
//! that keys bound to A have posted. So there is a *pool* of the address that is vouched for, and one for
//! each advertiser with bound clicks of it, which has these beside the vouched ones and convicts that
//! advertiser's clicks only. A new bound click concerns its advertiser's pool; a vouched one all pools that
//! have clicks nearby.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use clickwire_protocol::{MINUTE_MS, ids::AdvertiserId, rules::Rule, times::UnixMs};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::entry::{Conviction, Entry};
use crate::{
    at,
    rules::{Reach, Rules},
};

/// New clicks of one key that are no farther apart than this are looked at together.
const TOGETHER_MS: i64 = 1_000;

const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A subject whose clicks are counted together: an address (a user), and the advertiser that the pool or the user
/// belongs to; `None` for the clicks of an address that are vouched for.
pub(super) type Subject<'a> = (&'a str, Option<&'a AdvertiserId>);

/// Neighbouring new clicks of one address or user.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cluster<'a> {
    /// The subject of the new clicks.
    subject: Subject<'a>,
    /// The advertiser of the pool that they are looked at in; vouched clicks may concern several.
    pool: Option<Cow<'a, AdvertiserId>>,
    first_ms: UnixMs,
    last_ms: UnixMs,
}

/// A click of a cluster or beside it.
#[derive(Clone, Debug)]
struct Click {
    click_id: Uuid,
    clicked_at_ms: UnixMs,
    received_at_ms: UnixMs,
    advertiser_id: AdvertiserId,
}

/// The subjects of those new clicks, which are in the ledger already, with more clicks around them than any
/// threshold allows.
pub(super) async fn crowds<'a>(
    connection: &mut PgConnection,
    rule: Rule,
    fresh: &[&'a Entry<'a>],
    rules: &Rules,
) -> Result<HashSet<Subject<'a>>, sqlx::Error> {
    let Some(reach) = rules.reach(rule) else { return Ok(HashSet::new()) };
    let clusters = crowded(connection, rule, clusters(keyed(rule, fresh)), reach).await?;
    Ok(clusters.into_iter().map(|cluster| cluster.subject).collect())
}

/// Finds the clicks to convict among the new ones that may be in a crowd, and among those around them.
pub(super) async fn find(
    connection: &mut PgConnection,
    rule: Rule,
    candidates: &[&Entry<'_>],
    rules: &Rules,
) -> Result<Vec<Conviction>, sqlx::Error> {
    let Some(reach) = rules.reach(rule) else { return Ok(Vec::new()) };
    let clusters = crowded(connection, rule, clusters(keyed(rule, candidates)), reach).await?;
    let mut surroundings = surroundings(connection, rule, &clusters, reach).await?;
    let mut convictions = Vec::new();
    for (number, cluster) in (1..).zip(&clusters) {
        let clicks = surroundings.remove(&number).unwrap_or_default();
        let limit = |click: &Click| {
            // In an advertiser's pool the others' clicks count, and are judged in theirs.
            if cluster.pool.as_ref().is_some_and(|of| **of != click.advertiser_id) {
                return None;
            }
            let version = rules.at(rule, click.received_at_ms)?;
            Some((version.setting.threshold as usize, version.setting.window_ms()))
        };
        let times: Vec<UnixMs> = clicks.iter().map(|click| click.clicked_at_ms).collect();
        let limits: Vec<Option<Limit>> = clicks.iter().map(limit).collect();
        let convicted = convicted(&times, &limits);
        for (click, _) in clicks.into_iter().zip(convicted).filter(|(_, convicted)| *convicted) {
            let click = (click.click_id, click.clicked_at_ms, click.advertiser_id);
            convictions.push(Conviction { click, rule });
        }
    }
    Ok(convictions)
}

/// The subject of a click under a rule.
pub(super) fn subject<'a>(rule: Rule, entry: &'a Entry<'_>) -> Option<Subject<'a>> {
    let click = entry.click();
    match rule {
        Rule::IpVelocity => Some((click.ip_hash.as_deref()?, click.bound.then_some(&click.advertiser_id))),
        _ => Some((click.user_id.as_deref()?, Some(&click.advertiser_id))),
    }
}

/// Subjects and times of clicks that rules judge.
fn keyed<'a>(rule: Rule, clicks: &[&'a Entry<'a>]) -> impl Iterator<Item = (Subject<'a>, UnixMs)> {
    let judged = clicks.iter().copied().filter(|entry| entry.examined.outside.is_none());
    judged.filter_map(move |entry| Some((subject(rule, entry)?, entry.examined.counted_at_ms)))
}

/// The ledger's clicks of a cluster `k`, as indexes have them: all that meet one of the conditions.
fn matches(rule: Rule) -> &'static [&'static str] {
    match rule {
        Rule::IpVelocity => &[
            "c.ip_hash = decode(k.key, 'hex') AND c.bound IS NOT TRUE",
            "c.ip_hash = decode(k.key, 'hex') AND c.bound AND c.advertiser_id = k.advertiser",
        ],
        _ => &["hashtextextended(c.user_id, hashtextextended(c.advertiser_id, 0)) \
                  = hashtextextended(k.key, hashtextextended(k.advertiser, 0)) \
                AND c.user_id = k.key AND c.advertiser_id = k.advertiser"],
    }
}

fn clusters<'a>(clicks: impl Iterator<Item = (Subject<'a>, UnixMs)>) -> Vec<Cluster<'a>> {
    let mut clicks: Vec<(Subject<'a>, UnixMs)> = clicks.collect();
    clicks.sort_unstable();
    let is_near = |before: &(Subject<'_>, UnixMs), after: &(Subject<'_>, UnixMs)| {
        before.0 == after.0 && after.1 - before.1 <= TOGETHER_MS
    };
    let mut clusters = Vec::with_capacity(clicks.len());
    for together in clicks.chunk_by(is_near) {
        if let (Some(&(subject, first_ms)), Some(&(_, last_ms))) = (together.first(), together.last()) {
            clusters.push(Cluster { subject, pool: subject.1.map(Cow::Borrowed), first_ms, last_ms });
        }
    }
    clusters
}

type Query<'q, O> = sqlx::query::QueryAs<'q, sqlx::Postgres, O, sqlx::postgres::PgArguments>;

/// The clusters that [`bind`] binds first, as rows `k`.
const CLUSTERS: &str = "unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[]) \
     WITH ORDINALITY AS k (key, advertiser, first, last, n)";

/// Binds `$1` to `$4` for [`CLUSTERS`], `$5` the window, `$6` and `$7` the bounds that keep the planner
/// from looking into every chunk.
fn bind<'q, O>(query: Query<'q, O>, clusters: &'q [Cluster<'q>], reach: Reach) -> Query<'q, O> {
    let (earliest, latest) = span(clusters, reach);
    query
        .bind(clusters.iter().map(|cluster| cluster.subject.0).collect::<Vec<_>>())
        .bind(clusters.iter().map(|cluster| cluster.pool.as_ref().map(|of| of.as_str())).collect::<Vec<_>>())
        .bind(clusters.iter().map(|cluster| at(cluster.first_ms)).collect::<Vec<_>>())
        .bind(clusters.iter().map(|cluster| at(cluster.last_ms)).collect::<Vec<_>>())
        .bind(reach.window_ms as f64)
        .bind(at(earliest))
        .bind(at(latest))
}

/// The time that clusters and their windows reach over.
fn span(clusters: &[Cluster<'_>], reach: Reach) -> (UnixMs, UnixMs) {
    let earliest = clusters.iter().map(|cluster| cluster.first_ms).min().unwrap_or_default();
    let latest = clusters.iter().map(|cluster| cluster.last_ms).max().unwrap_or_default();
    (earliest - reach.window_ms, latest + reach.window_ms)
}

/// The clusters with more clicks in their windows' reach than any threshold allows, in every pool that they
/// concern. Most have not: this is one index probe for each.
async fn crowded<'a>(
    connection: &mut PgConnection,
    rule: Rule,
    mut clusters: Vec<Cluster<'a>>,
    reach: Reach,
) -> Result<Vec<Cluster<'a>>, sqlx::Error> {
    if rule == Rule::IpVelocity {
        let of_advertisers = pools(connection, &clusters, reach).await?;
        clusters.extend(of_advertisers);
    }
    if clusters.is_empty() {
        return Ok(clusters);
    }
    // Each of the conditions as far as the limit goes, so that none reads more.
    let clicks: Vec<String> = matches(rule)
        .iter()
        .map(|matches| {
            format!(
                "(SELECT 1 FROM clicks c WHERE {matches} \
                   AND c.clicked_at > k.first - $5 * INTERVAL '1 ms' AND c.clicked_at < k.last + $5 * INTERVAL '1 ms' \
                   AND c.clicked_at BETWEEN $6 AND $7 LIMIT $8 + 1)"
            )
        })
        .collect();
    let sql = format!(
        "SELECT k.n FROM {CLUSTERS} CROSS JOIN LATERAL (SELECT FROM ({clicks}) AS near OFFSET $8 LIMIT 1) AS crowd",
        clicks = clicks.join(" UNION ALL "),
    );
    let query = bind(sqlx::query_as::<_, (i64,)>(AssertSqlSafe(sql)), &clusters, reach);
    let rows = query.bind(i64::from(reach.lowest_threshold)).fetch_all(connection).await?;
    let numbers: HashSet<i64> = rows.into_iter().map(|(number,)| number).collect();
    let mut number = 0;
    clusters.retain(|_| {
        number += 1;
        numbers.contains(&number)
    });
    Ok(clusters)
}

/// Clusters of vouched clicks once more, for each advertiser with bound clicks of the address. Skips from
/// advertiser to advertiser, so nobody's number of clicks matters; whole days, as chunks are, so that the
/// first entry is always one. Where no key is bound it is one probe for all.
async fn pools<'a>(
    connection: &mut PgConnection,
    clusters: &[Cluster<'a>],
    reach: Reach,
) -> Result<Vec<Cluster<'a>>, sqlx::Error> {
    let vouched: Vec<&Cluster<'a>> = clusters.iter().filter(|cluster| cluster.pool.is_none()).collect();
    if vouched.is_empty() {
        return Ok(Vec::new());
    }
    let (earliest, latest) = span(clusters, reach);
    let rows: Vec<(i64, AdvertiserId)> = sqlx::query_as(
        "SELECT k.n, pool.advertiser_id FROM unnest($1::text[]) WITH ORDINALITY AS k (key, n) \
         CROSS JOIN LATERAL (SELECT c.advertiser_id FROM clicks c WHERE c.ip_hash = decode(k.key, 'hex') AND c.bound \
             AND c.clicked_at >= $2 AND c.clicked_at < $3 ORDER BY c.advertiser_id LIMIT 1) AS first \
         CROSS JOIN LATERAL (WITH RECURSIVE pools AS (SELECT first.advertiser_id \
             UNION ALL SELECT following.advertiser_id FROM pools CROSS JOIN LATERAL \
               (SELECT c.advertiser_id FROM clicks c WHERE c.ip_hash = decode(k.key, 'hex') AND c.bound \
                   AND c.advertiser_id > pools.advertiser_id AND c.clicked_at >= $2 AND c.clicked_at < $3 \
                 ORDER BY c.advertiser_id LIMIT 1) AS following) \
           SELECT advertiser_id FROM pools) AS pool \
          WHERE EXISTS (SELECT FROM clicks c WHERE c.ip_hash IS NOT NULL AND c.bound \
             AND c.clicked_at >= $2 AND c.clicked_at < $3)",
    )
    .bind(vouched.iter().map(|cluster| cluster.subject.0).collect::<Vec<_>>())
    .bind(at(UnixMs(earliest.0.div_euclid(DAY_MS) * DAY_MS)))
    .bind(at(UnixMs((latest.0.div_euclid(DAY_MS) + 1) * DAY_MS)))
    .fetch_all(connection)
    .await?;
    let cluster = |(number, advertiser_id): (i64, AdvertiserId)| {
        let vouched = *vouched.get(usize::try_from(number - 1).ok()?)?;
        Some(Cluster { pool: Some(Cow::Owned(advertiser_id)), ..vouched.clone() })
    };
    Ok(rows.into_iter().filter_map(cluster).collect())
}

/// The clicks of each cluster and those beside it that matter, by time.
async fn surroundings(
    connection: &mut PgConnection,
    rule: Rule,
    clusters: &[Cluster<'_>],
    reach: Reach,
) -> Result<BTreeMap<i64, Vec<Click>>, sqlx::Error> {
    let mut surroundings: BTreeMap<i64, Vec<Click>> = BTreeMap::new();
    if clusters.is_empty() {
        return Ok(surroundings);
    }
    let near = matches(rule).iter().map(|matches| {
        let clicks = format!(
            "SELECT c.click_id, c.clicked_at, c.received_at, c.advertiser_id FROM clicks c WHERE {matches} \
               AND c.disposition NOT IN ('test', 'defective') AND c.clicked_at BETWEEN $6 AND $7"
        );
        format!(
            "({clicks} AND c.clicked_at < k.first AND c.clicked_at > k.first - $5 * INTERVAL '1 ms' \
               ORDER BY c.clicked_at DESC LIMIT $8) \
             UNION ALL ({clicks} AND c.clicked_at BETWEEN k.first AND k.last) \
             UNION ALL ({clicks} AND c.clicked_at > k.last AND c.clicked_at < k.last + $5 * INTERVAL '1 ms' \
               ORDER BY c.clicked_at LIMIT $8)"
        )
    });
    let sql = format!(
        "SELECT k.n, c.click_id, (extract(epoch FROM c.clicked_at) * 1000)::bigint AS clicked_at_ms, \
                (extract(epoch FROM c.received_at) * 1000)::bigint, c.advertiser_id \
           FROM {CLUSTERS} CROSS JOIN LATERAL ({near}) AS c ORDER BY k.n, clicked_at_ms",
        near = near.collect::<Vec<_>>().join(" UNION ALL "),
    );
    let query = bind(
        sqlx::query_as::<_, (i64, Uuid, UnixMs, UnixMs, AdvertiserId)>(AssertSqlSafe(sql)),
        clusters,
        reach,
    );
    let rows = query.bind(i64::from(reach.highest_threshold)).fetch_all(connection).await?;
    for (number, click_id, clicked_at_ms, received_at_ms, advertiser_id) in rows {
        let click = Click { click_id, clicked_at_ms, received_at_ms, advertiser_id };
        surroundings.entry(number).or_default().push(click);
    }
    Ok(surroundings)
}

/// A threshold of clicks, and the window in milliseconds that more of them are too many in.
pub(crate) type Limit = (usize, i64);

/// Returns for each of the clicks of one subject, in the order of their times, whether it is convicted by its own
/// limit; a click without one is not judged, and counts for the others.
pub(crate) fn convicted(times: &[UnixMs], limits: &[Option<Limit>]) -> Vec<bool> {
    let mut convicted = vec![false; times.len()];
    let mut different: Vec<Limit> = limits.iter().copied().flatten().collect();
    different.sort_unstable();
    different.dedup();
    for (threshold, window_ms) in different {
        // Everything before `judged` is decided.
        let mut judged = 0;
        for (start, run) in times.windows(threshold + 1).enumerate() {
            if run[threshold] - run[0] < window_ms {
                for place in judged.max(start)..=start + threshold {
                    convicted[place] |= limits[place] == Some((threshold, window_ms));
                }
                judged = start + threshold + 1;
            }
        }
    }
    convicted
}

#[cfg(test)]
mod tests;

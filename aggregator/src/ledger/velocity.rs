//! Who clicks faster than people do: a click is convicted when it lies in some half-open window of
//! time that holds more clicks of its address (of its user) than the threshold.
//!
//! Seen in the order of time: when it belongs to some run of `threshold + 1` clicks whose first and
//! last are less than a window apart. So the `threshold` clicks on either side of the new ones are
//! all that matter; whatever lies beyond them is unaffected or convicted already.

use std::collections::{BTreeMap, HashSet};

use clickwire_protocol::rules::Rule;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::{Conviction, Entry, at};
use crate::rules::{Reach, Rules};

/// New clicks of one key that are no farther apart than this are looked at together.
const TOGETHER_MS: i64 = 1_000;

/// Neighbouring new clicks of one address or user.
struct Cluster<'a> {
    key: &'a str,
    first_ms: i64,
    last_ms: i64,
}

/// A click of a cluster or beside it.
#[derive(Clone, Copy, Debug)]
struct Click {
    click_id: Uuid,
    clicked_at_ms: i64,
    received_at_ms: i64,
}

/// The addresses (users) of new clicks, which are in the ledger already, that have more clicks around
/// these than any threshold allows.
pub(super) async fn crowds<'a>(
    connection: &mut PgConnection,
    rule: Rule,
    fresh: &[&'a Entry<'a>],
    rules: &Rules,
) -> Result<HashSet<&'a str>, sqlx::Error> {
    let Some(reach) = rules.reach(rule) else { return Ok(HashSet::new()) };
    let clusters = crowded(connection, rule, clusters(keyed(rule, fresh)), reach).await?;
    Ok(clusters.into_iter().map(|cluster| cluster.key).collect())
}

/// What those of the new clicks that may be in a crowd say about themselves and others.
pub(super) async fn find(
    connection: &mut PgConnection,
    rule: Rule,
    suspects: &[&Entry<'_>],
    rules: &Rules,
) -> Result<Vec<Conviction>, sqlx::Error> {
    let Some(reach) = rules.reach(rule) else { return Ok(Vec::new()) };
    let clusters = crowded(connection, rule, clusters(keyed(rule, suspects)), reach).await?;
    let mut convictions = Vec::new();
    for clicks in surroundings(connection, rule, &clusters, reach).await?.into_values() {
        let limit = |click: &Click| {
            let version = rules.at(rule, click.received_at_ms)?;
            Some((version.setting.threshold as usize, version.setting.window_ms()))
        };
        let convicted = convicted(&clicks, limit);
        convictions.extend(clicks.iter().zip(convicted).filter(|(_, convicted)| *convicted).map(
            |(click, _)| Conviction { click_id: click.click_id, clicked_at_ms: click.clicked_at_ms, rule },
        ));
    }
    Ok(convictions)
}

/// Addresses (users) and times of clicks that rules judge.
fn keyed<'a>(rule: Rule, clicks: &[&'a Entry<'a>]) -> impl Iterator<Item = (&'a str, i64)> {
    let judged = clicks.iter().copied().filter(|entry| entry.examined.outside.is_none());
    judged.filter_map(move |entry| Some((key(rule, entry)?, entry.examined.counted_at_ms)))
}

fn key<'a>(rule: Rule, entry: &'a Entry<'_>) -> Option<&'a str> {
    match rule {
        Rule::IpVelocity => entry.click().ip_hash.as_deref(),
        _ => entry.click().user_id.as_deref(),
    }
}

/// The ledger's column of a key, as an index has it.
fn matches(rule: Rule) -> &'static str {
    match rule {
        Rule::IpVelocity => "c.ip_hash = decode(k.key, 'hex')",
        _ => "hashtextextended(c.user_id, 0) = hashtextextended(k.key, 0) AND c.user_id = k.key",
    }
}

fn clusters<'a>(clicks: impl Iterator<Item = (&'a str, i64)>) -> Vec<Cluster<'a>> {
    let mut clicks: Vec<(&str, i64)> = clicks.collect();
    clicks.sort_unstable();
    let is_near =
        |before: &(&str, i64), after: &(&str, i64)| before.0 == after.0 && after.1 - before.1 <= TOGETHER_MS;
    let mut clusters = Vec::with_capacity(clicks.len());
    for together in clicks.chunk_by(is_near) {
        if let (Some(&(key, first_ms)), Some(&(_, last_ms))) = (together.first(), together.last()) {
            clusters.push(Cluster { key, first_ms, last_ms });
        }
    }
    clusters
}

type Query<'q, O> = sqlx::query::QueryAs<'q, sqlx::Postgres, O, sqlx::postgres::PgArguments>;

/// Binds `$1` keys, `$2` and `$3` first and last times, `$4` the window, `$5` and `$6` the bounds that
/// keep the planner from looking into every chunk.
fn bind<'q, O>(query: Query<'q, O>, clusters: &[Cluster<'q>], reach: Reach) -> Query<'q, O> {
    let earliest = clusters.iter().map(|cluster| cluster.first_ms).min().unwrap_or_default();
    let latest = clusters.iter().map(|cluster| cluster.last_ms).max().unwrap_or_default();
    query
        .bind(clusters.iter().map(|cluster| cluster.key).collect::<Vec<_>>())
        .bind(clusters.iter().map(|cluster| at(cluster.first_ms)).collect::<Vec<_>>())
        .bind(clusters.iter().map(|cluster| at(cluster.last_ms)).collect::<Vec<_>>())
        .bind(reach.window_ms as f64)
        .bind(at(earliest - reach.window_ms))
        .bind(at(latest + reach.window_ms))
}

/// The clusters with more clicks in their windows' reach than any threshold allows. Most have not: this
/// is one index probe for each.
async fn crowded<'a>(
    connection: &mut PgConnection,
    rule: Rule,
    mut clusters: Vec<Cluster<'a>>,
    reach: Reach,
) -> Result<Vec<Cluster<'a>>, sqlx::Error> {
    if clusters.is_empty() {
        return Ok(clusters);
    }
    let sql = format!(
        "SELECT k.n FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS k (key, first, last, n) \
         CROSS JOIN LATERAL (SELECT FROM clicks c WHERE {matches} \
              AND c.clicked_at > k.first - $4 * INTERVAL '1 ms' AND c.clicked_at < k.last + $4 * INTERVAL '1 ms' \
              AND c.clicked_at BETWEEN $5 AND $6 OFFSET $7 LIMIT 1) AS crowd",
        matches = matches(rule),
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
    let clicks = format!(
        "SELECT c.click_id, c.clicked_at, c.received_at FROM clicks c WHERE {matches} \
           AND c.disposition NOT IN ('test', 'defective') AND c.clicked_at BETWEEN $5 AND $6",
        matches = matches(rule),
    );
    let sql = format!(
        "SELECT k.n, c.click_id, (extract(epoch FROM c.clicked_at) * 1000)::bigint AS clicked_at_ms, \
                (extract(epoch FROM c.received_at) * 1000)::bigint \
           FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS k (key, first, last, n) \
         CROSS JOIN LATERAL ( \
           ({clicks} AND c.clicked_at < k.first AND c.clicked_at > k.first - $4 * INTERVAL '1 ms' \
             ORDER BY c.clicked_at DESC LIMIT $7) \
           UNION ALL ({clicks} AND c.clicked_at BETWEEN k.first AND k.last) \
           UNION ALL ({clicks} AND c.clicked_at > k.last AND c.clicked_at < k.last + $4 * INTERVAL '1 ms' \
             ORDER BY c.clicked_at LIMIT $7)) AS c \
          ORDER BY k.n, clicked_at_ms",
    );
    let query = bind(sqlx::query_as::<_, (i64, Uuid, i64, i64)>(AssertSqlSafe(sql)), clusters, reach);
    let rows = query.bind(i64::from(reach.highest_threshold)).fetch_all(connection).await?;
    for (number, click_id, clicked_at_ms, received_at_ms) in rows {
        surroundings.entry(number).or_default().push(Click { click_id, clicked_at_ms, received_at_ms });
    }
    Ok(surroundings)
}

/// Whether each of `clicks`, which are in the order of time, is convicted by its own limit: threshold
/// and window in milliseconds.
fn convicted(clicks: &[Click], limit: impl Fn(&Click) -> Option<(usize, i64)>) -> Vec<bool> {
    let limits: Vec<Option<(usize, i64)>> = clicks.iter().map(limit).collect();
    let mut convicted = vec![false; clicks.len()];
    let mut different: Vec<(usize, i64)> = limits.iter().copied().flatten().collect();
    different.sort_unstable();
    different.dedup();
    for (threshold, window_ms) in different {
        // Everything before `judged` is decided.
        let mut judged = 0;
        for (start, run) in clicks.windows(threshold + 1).enumerate() {
            if run[threshold].clicked_at_ms - run[0].clicked_at_ms < window_ms {
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
mod tests {
    use super::*;

    fn clicks(times: &[i64]) -> Vec<Click> {
        let click = |(number, &clicked_at_ms): (usize, &i64)| Click {
            click_id: Uuid::from_u128(number as u128),
            clicked_at_ms,
            received_at_ms: clicked_at_ms,
        };
        times.iter().enumerate().map(click).collect()
    }

    /// As the rule is written: try every window that begins at a click.
    fn by_definition(times: &[i64], of: usize, threshold: usize, window_ms: i64) -> bool {
        times.iter().any(|&start| {
            let holds = |time: i64| (start..start + window_ms).contains(&time);
            holds(times[of]) && times.iter().filter(|&&time| holds(time)).count() > threshold
        })
    }

    #[test]
    fn runs_convict_exactly_what_windows_convict() {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..2_000 {
            let mut times: Vec<i64> = (0..random(40)).map(|_| random(200) as i64).collect();
            times.sort_unstable();
            let (threshold, window_ms) = (1 + random(6) as usize, 1 + random(40) as i64);
            let found = convicted(&clicks(&times), |_| Some((threshold, window_ms)));
            for (place, &found) in found.iter().enumerate() {
                let expected = by_definition(&times, place, threshold, window_ms);
                assert_eq!(found, expected, "{times:?}[{place}], {threshold} in {window_ms}");
            }
        }
    }

    #[test]
    fn a_click_is_convicted_by_its_own_limit_and_counts_for_the_others() {
        let clicks = clicks(&[0, 10, 20, 30]);
        let limit = |click: &Click| match click.clicked_at_ms {
            0 => None,
            10 => Some((5, 100)),
            _ => Some((3, 100)),
        };
        assert_eq!(convicted(&clicks, limit), [false, false, true, true]);
    }

    #[test]
    fn clicks_of_one_key_that_are_near_each_other_make_a_cluster() {
        let found =
            clusters([("b", 5_000), ("a", 2_500), ("a", 1_000), ("a", 2_000), ("a", 4_000)].into_iter());
        let found: Vec<_> = found.iter().map(|found| (found.key, found.first_ms, found.last_ms)).collect();
        assert_eq!(found, [("a", 1_000, 2_500), ("a", 4_000, 4_000), ("b", 5_000, 5_000)]);
    }
}

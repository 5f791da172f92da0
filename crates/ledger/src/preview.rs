//! Previews of a rule's change: verdicts on the last clicks of the ledger as another version of the rule would have
//! given them; and, in [`incidents`], those that a rule would have opened. Nothing is written.
//!
//! A verdict follows from the set of clicks ([`crate::judge`]). So the clicks of a range and those within a window
//! before it are read, the changed rule is applied to all of them, and the other rules' evidence is taken from the
//! ledger.

pub mod incidents;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use clickwire_protocol::{
    counts::Disposition,
    ids::{AdId, AdvertiserId},
    rules::{
        Mode, Rule, Setting,
        preview::{PreviewedAdvertiser, RulePreview, Verdicts},
    },
    times::UnixMs,
};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    at,
    commit::velocity::{Limit, convicted},
    judge::{AHEAD, Evidence, Verdict},
    minutes::unix_ms,
    rules::Rules,
};

/// Clicks that are read at most; about 150 bytes each.
pub const MAX_CLICKS: usize = 200_000;

/// Clicks that one statement reads, about, and at most.
const STEP_CLICKS: usize = 20_000;
const STEP_MAX: usize = 4 * STEP_CLICKS;

/// Shortest, first and longest time that one statement reads, in milliseconds.
const SHORTEST_MS: i64 = 1_000;
const FIRST_MS: i64 = 5_000;
const LONGEST_MS: i64 = 3_600_000;

/// Advertisers that are listed at most.
const ADVERTISERS: usize = 10;

/// Why there is no preview.
#[derive(Debug, Error)]
pub enum Error {
    /// The ledger keeps a click's kind of robot, not its user agent: another list can't be applied to it.
    #[error("user agents are not kept: what another list finds can't be told")]
    NotKept,
    /// The rule was off in the range, and the ledger keeps nothing of what it would have looked at.
    #[error("the rule was off at that time, and what it would have found is not kept")]
    WasOff,
    /// A window holds more clicks than are read.
    #[error("the window holds more than {MAX_CLICKS} clicks: too many for a preview")]
    TooMany,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A click of the ledger, as rules see it.
struct Click {
    click_id: Uuid,
    clicked_at_ms: UnixMs,
    received_at_ms: UnixMs,
    advertiser_id: AdvertiserId,
    ad_id: AdId,
    user_id: Option<String>,
    ip_hash: Option<Vec<u8>>,
    /// Only its poster vouches for the address.
    is_bound: bool,
    disposition: Disposition,
    evidence: Evidence,
    is_released: bool,
}

/// Clicks of the ledger, and the changed rule that they are to be judged by.
pub struct Preview {
    rule: Rule,
    setting: Setting,
    /// All rules, with the changed one.
    rules: Rules,
    /// Clicks in the order of time and id, those beside the range included.
    clicks: Vec<Click>,
    /// The range; it begins later than was asked for if there are more than [`MAX_CLICKS`].
    start: UnixMs,
    end: UnixMs,
    is_cut: bool,
}

impl Preview {
    /// Reads the clicks from `start` up to `end`, in a transaction of one snapshot.
    ///
    /// # Errors
    /// An [`enum@Error`].
    pub async fn read(
        connection: &mut PgConnection,
        rule: Rule,
        setting: Setting,
        start: UnixMs,
        end: UnixMs,
    ) -> Result<Self, Error> {
        let rules = Rules::load(connection).await?;
        let is_computed = is_computed(rule);
        let window_ms = if is_computed { setting.window_ms() } else { 0 };
        // Clients' clocks may be ahead: such clicks speak against those within a window before them.
        let until = end + window_ms.min(AHEAD.as_millis() as i64);
        let (clicks, read_from) = read(connection, start - window_ms, until).await?;
        let first = start.max(read_from + window_ms);
        if first >= end {
            return Err(Error::TooMany);
        }
        if !is_computed {
            check(&rules, rule, setting, &clicks)?;
        }
        let rules = rules.with(rule, setting);
        Ok(Self { rule, setting, rules, clicks, start: first, end, is_cut: first > start })
    }

    /// Judges the clicks. This takes a core for up to some seconds.
    pub fn verdicts(&self) -> RulePreview {
        let found = if self.setting.mode == Mode::Off {
            vec![false; self.clicks.len()]
        } else {
            apply(self.rule, self.setting, &self.clicks)
        };
        let mut preview = RulePreview {
            start_ms: self.start.0,
            end_ms: self.end.0,
            is_cut: self.is_cut,
            counted: Verdicts::default(),
            previewed: Verdicts::default(),
            to_invalid: 0,
            to_valid: 0,
            advertisers: Vec::new(),
        };
        let mut advertisers: BTreeMap<&AdvertiserId, PreviewedAdvertiser> = BTreeMap::new();
        let is_inside = |click: &Click| click.clicked_at_ms >= self.start && click.clicked_at_ms < self.end;
        for (click, found) in self.clicks.iter().zip(found).filter(|(click, _)| is_inside(click)) {
            let previewed = click.verdict(self.rule, found, &self.rules);
            let (was_valid, is_valid) =
                (click.disposition == Disposition::Valid, previewed == Disposition::Valid);
            let (to_invalid, to_valid) =
                (i64::from(was_valid && !is_valid), i64::from(!was_valid && is_valid));
            preview.counted.add(click.disposition);
            preview.previewed.add(previewed);
            preview.to_invalid += to_invalid;
            preview.to_valid += to_valid;
            let advertiser = advertisers.entry(&click.advertiser_id).or_insert_with(|| PreviewedAdvertiser {
                advertiser_id: click.advertiser_id.clone(),
                clicks: 0,
                to_invalid: 0,
                to_valid: 0,
            });
            advertiser.clicks += 1;
            advertiser.to_invalid += to_invalid;
            advertiser.to_valid += to_valid;
        }
        preview.advertisers =
            advertisers.into_values().filter(|one| one.to_invalid + one.to_valid > 0).collect();
        preview.advertisers.sort_by_key(|one| Reverse(one.to_invalid + one.to_valid));
        preview.advertisers.truncate(ADVERTISERS);
        preview
    }
}

/// Returns whether a rule is applied to the clicks anew; of the others the ledger's evidence is taken.
fn is_computed(rule: Rule) -> bool {
    matches!(rule, Rule::Duplicate | Rule::IpVelocity | Rule::UserVelocity)
}

/// Refuses what the ledger's evidence does not tell.
fn check(rules: &Rules, rule: Rule, setting: Setting, clicks: &[Click]) -> Result<(), Error> {
    if setting.mode == Mode::Off {
        return Ok(());
    }
    for click in clicks {
        let version = rules.at(rule, click.received_at_ms).ok_or(Error::WasOff)?;
        if version.setting.list != setting.list {
            return Err(Error::NotKept);
        }
    }
    Ok(())
}

impl Click {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let disposition: String = row.try_get_unchecked("disposition")?;
        let evidence: Option<Vec<String>> = row.try_get("evidence")?;
        Ok(Self {
            click_id: row.try_get("click_id")?,
            clicked_at_ms: unix_ms(row, "clicked_at")?,
            received_at_ms: unix_ms(row, "received_at")?,
            advertiser_id: row.try_get("advertiser_id")?,
            ad_id: row.try_get("ad_id")?,
            user_id: row.try_get("user_id")?,
            ip_hash: row.try_get("ip_hash")?,
            is_bound: row.try_get::<Option<bool>, _>("bound")?.unwrap_or(false),
            disposition: Disposition::named(&disposition).unwrap_or(Disposition::Defective),
            evidence: Evidence::named(evidence.iter().flatten().map(String::as_str)),
            is_released: row.try_get::<Option<bool>, _>("released")?.unwrap_or(false),
        })
    }

    /// The verdict under other rules; `found`: the changed rule applies.
    fn verdict(&self, rule: Rule, found: bool, rules: &Rules) -> Disposition {
        if self.is_released {
            return self.disposition;
        }
        let mut evidence = Evidence::default();
        self.evidence.rules().filter(|&known| known != rule).for_each(|known| evidence.add(known));
        if found {
            evidence.add(rule);
        }
        Verdict::from_evidence(evidence, self.received_at_ms, rules).disposition
    }
}

/// Reads the clicks that rules judge, from the end of the range backwards, and returns from when on they are complete.
async fn read(
    connection: &mut PgConnection,
    start: UnixMs,
    end: UnixMs,
) -> Result<(Vec<Click>, UnixMs), sqlx::Error> {
    let (mut clicks, mut from, mut step_ms) = (Vec::new(), end, FIRST_MS);
    while from > start {
        let earlier = start.max(from - step_ms);
        let most = STEP_MAX.min(MAX_CLICKS - clicks.len());
        let rows = sqlx::query(
            "SELECT click_id, clicked_at, received_at, advertiser_id, ad_id, user_id, ip_hash, bound, disposition, \
                    evidence, released FROM clicks \
              WHERE clicked_at >= $1 AND clicked_at < $2 AND disposition NOT IN ('test', 'defective') LIMIT $3",
        )
        .bind(at(earlier))
        .bind(at(from))
        .bind(most as i64 + 1)
        .fetch_all(&mut *connection)
        .await?;
        let is_whole = rows.len() <= most;
        if is_whole {
            for row in &rows {
                clicks.push(Click::read(row)?);
            }
            from = earlier;
        }
        let Some(next_ms) = next_step(step_ms, is_whole.then_some(rows.len())) else { break };
        step_ms = next_ms;
    }
    clicks.sort_unstable_by_key(|click| (click.clicked_at_ms, click.click_id));
    Ok((clicks, from))
}

/// Returns the time that the next statement reads, after one that found a number of clicks, or more than it reads:
/// `None`. It grows slowly, for what comes may be busier. `None`: no shorter step is left.
fn next_step(step_ms: i64, found: Option<usize>) -> Option<i64> {
    match found {
        Some(found) => {
            let wanted = step_ms.saturating_mul(STEP_CLICKS as i64) / (found as i64).max(1);
            Some(wanted.min(step_ms * 4).clamp(SHORTEST_MS, LONGEST_MS))
        }
        None => (step_ms > SHORTEST_MS).then(|| (step_ms / 8).max(SHORTEST_MS)),
    }
}

/// Returns for each of the clicks, which are in the order of time and id, whether the rule applies.
fn apply(rule: Rule, setting: Setting, clicks: &[Click]) -> Vec<bool> {
    let mut found = vec![false; clicks.len()];
    let limit: Limit = (setting.threshold as usize, setting.window_ms());
    match rule {
        Rule::Duplicate => {
            let key = |click: &Click| {
                Some((click.advertiser_id.clone(), click.user_id.clone()?, click.ad_id.clone()))
            };
            for places in grouped(clicks, key).into_values() {
                for pair in places.windows(2) {
                    let gap_ms = clicks[pair[1]].clicked_at_ms - clicks[pair[0]].clicked_at_ms;
                    found[pair[1]] = gap_ms < limit.1;
                }
            }
        }
        Rule::UserVelocity => {
            let key = |click: &Click| Some((click.advertiser_id.clone(), click.user_id.clone()?));
            for places in grouped(clicks, key).into_values() {
                judge(clicks, &places, |_| Some(limit), &mut found);
            }
        }
        Rule::IpVelocity => {
            for places in grouped(clicks, |click| click.ip_hash.clone()).into_values() {
                let (bound, vouched): (Vec<usize>, Vec<usize>) =
                    places.into_iter().partition(|&place| clicks[place].is_bound);
                judge(clicks, &vouched, |_| Some(limit), &mut found);
                let mut owners: BTreeMap<&AdvertiserId, Vec<usize>> = BTreeMap::new();
                for place in bound {
                    owners.entry(&clicks[place].advertiser_id).or_default().push(place);
                }
                // An advertiser's own pool: its bound clicks beside all that are vouched for. Others' are not judged in it.
                for (owner, mut pool) in owners {
                    if pool.len() + vouched.len() <= limit.0 {
                        continue;
                    }
                    pool.extend(&vouched);
                    pool.sort_unstable();
                    judge(
                        clicks,
                        &pool,
                        |place| (clicks[place].advertiser_id == *owner).then_some(limit),
                        &mut found,
                    );
                }
            }
        }
        Rule::UserAgent | Rule::DataCenter | Rule::Prefetch | Rule::ForgedClickId => {
            for (found, click) in found.iter_mut().zip(clicks) {
                *found = click.evidence.contains(rule);
            }
        }
    }
    found
}

/// Groups clicks by a key; those without one are in no group. The order stays.
fn grouped<K: std::hash::Hash + Eq>(
    clicks: &[Click],
    key: impl Fn(&Click) -> Option<K>,
) -> HashMap<K, Vec<usize>> {
    let mut groups: HashMap<K, Vec<usize>> = HashMap::new();
    for (place, click) in clicks.iter().enumerate() {
        if let Some(key) = key(click) {
            groups.entry(key).or_default().push(place);
        }
    }
    groups
}

/// Judges the clicks of one pool, each by its limit.
fn judge(clicks: &[Click], pool: &[usize], limit: impl Fn(usize) -> Option<Limit>, found: &mut [bool]) {
    let times: Vec<UnixMs> = pool.iter().map(|&place| clicks[place].clicked_at_ms).collect();
    let limits: Vec<Option<Limit>> = pool.iter().map(|&place| limit(place)).collect();
    for (&place, convicted) in pool.iter().zip(convicted(&times, &limits)) {
        found[place] |= convicted;
    }
}

#[cfg(test)]
mod tests;

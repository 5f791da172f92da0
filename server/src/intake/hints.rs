//! Hints: what a key that the operator trusts is told of a click at once, in `is_fraudulent`.
//!
//! A hint is no verdict: the ledger judges later, by all clicks, and no hint changes a count. It is
//! `true` only for what the ledger will convict too, as far as is known: robots and data centres by the
//! rules in force, and clicks above a velocity rule's threshold in the window that ends with them. It is
//! `false` where that takes longer than 2 ms, and always for a key without the right: who could ask would
//! learn how to pass.
//!
//! A hint knows no more than a verdict may: users and their ads within their advertiser; addresses of a
//! key that is bound to advertisers within the click's advertiser, and beside them the clicks that the
//! operator vouches for: those of keys for all advertisers.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use clickwire_process::redis::{Connection, within};
use clickwire_protocol::{
    click::{Click, IdFault},
    rules::{Mode, Rule, Setting},
    times::UnixMs,
};
use redis::Script;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{intake::keys::Poster, store::database::answer};

/// A post waits for its hint so long at most.
const PATIENCE: Duration = Duration::from_millis(2);

/// Clicks whose time is further from now are given no hint by velocity: windows are kept no longer.
const NEAR: Duration = Duration::from_secs(5 * 60);

/// A click that is older may be counted as defective, whatever it is.
const HORIZON: Duration = Duration::from_secs(24 * 3_600);

/// Adds a click to sliding windows and counts the clicks in each, up to this one's time. A window holds no
/// more than its cap, of the newest, and ends with its last click.
///
/// `ARGV`: the click, its time; then for each window its length in milliseconds, its cap, and whether the
/// click is added (1) or only looks (0).
const WINDOWS: &str = "\
    local counts = {} \
    local at = tonumber(ARGV[2]) \
    for i, key in ipairs(KEYS) do \
        local length, cap, adds = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), ARGV[3 * i + 2] \
        if adds == '1' then \
            redis.call('ZADD', key, at, ARGV[1]) \
            redis.call('ZREMRANGEBYSCORE', key, '-inf', at - 2 * length) \
            redis.call('ZREMRANGEBYRANK', key, 0, -(cap + 1)) \
            redis.call('PEXPIRE', key, 2 * length) \
        end \
        counts[i] = redis.call('ZCOUNT', key, '(' .. (at - length), at) \
    end \
    return counts";

/// Gives hints; cheap to clone.
#[derive(Clone)]
pub(crate) struct Hints(Arc<Shared>);

struct Shared {
    redis: Connection,
    prefix: String,
    windows: Script,
    rules: RwLock<Arc<Rules>>,
}

/// The rules in force, those that flag.
#[derive(Default)]
struct Rules(Vec<(Rule, Setting)>);

impl Rules {
    fn setting(&self, rule: Rule) -> Option<&Setting> {
        self.0.iter().find(|(known, _)| *known == rule).map(|(_, setting)| setting)
    }
}

impl Hints {
    pub(crate) fn new(redis: Connection, prefix: &str) -> Self {
        let shared = Shared {
            redis,
            prefix: prefix.to_owned(),
            windows: Script::new(WINDOWS),
            rules: RwLock::default(),
        };
        Self(Arc::new(shared))
    }

    /// Reads the rules that are in force.
    pub(crate) async fn refresh(&self, database: &PgPool) -> Result<(), sqlx::Error> {
        let sql = "SELECT DISTINCT ON (rule) rule, mode, parameters::text FROM fraud_rules \
                    WHERE effective_at <= now() ORDER BY rule, effective_at DESC";
        let rows: Vec<(String, String, String)> = answer(sqlx::query_as(sql).fetch_all(database)).await?;
        let flagging = rows.into_iter().filter_map(|(rule, mode, parameters)| {
            let rule = Rule::named(&rule)?;
            let mode: Mode = serde_json::from_value(Value::from(mode)).ok()?;
            let setting = Setting::new(rule, mode, &serde_json::from_str(&parameters).ok()?).ok()?;
            (mode == Mode::Flag).then_some((rule, setting))
        });
        let rules = Arc::new(Rules(flagging.collect()));
        *self.0.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        Ok(())
    }

    /// Returns whether a click looks fraudulent; `false` for a key that may not know.
    pub(crate) async fn of(&self, poster: &Poster, click: &Click) -> bool {
        if !poster.gets_hints {
            return false;
        }
        let age = Duration::from_millis((click.received_at_ms - click.clicked_at_ms).max(0) as u64);
        if click.test || click.id_fault == Some(IdFault::Expired) || age > HORIZON {
            return false;
        }
        let rules = Arc::clone(&self.0.rules.read().unwrap_or_else(PoisonError::into_inner));
        // Robots are neighbours, too: what a robot clicks is added to the windows.
        let is_fast = self.is_fast(poster, click, &rules).await;
        is_invalid_alone(click, &rules) || is_fast
    }

    async fn is_fast(&self, poster: &Poster, click: &Click, rules: &Rules) -> bool {
        let (at, near) = (click.clicked_at_ms, NEAR.as_millis() as i64);
        if (click.received_at_ms - at).abs() > near {
            return false;
        }
        let (by_address, by_user) = (rules.setting(Rule::IpVelocity), rules.setting(Rule::UserVelocity));
        let repeats = rules.setting(Rule::Duplicate);
        let Shared { prefix, .. } = &*self.0;
        let advertiser = digest(&[click.advertiser_id.as_str()]);
        let mut tenant = Windows::default();
        let mut vouched = Windows::default();
        let user = click.user_id.as_deref().inspect(|user| {
            if let Some(repeats) = repeats {
                let pair = digest(&[user, click.dimensions.ad_id.as_str()]);
                tenant.add(format!("{prefix}:hint:{{{advertiser}}}:d:{pair}"), repeats, true);
            }
            if let Some(setting) = by_user {
                tenant.add(format!("{prefix}:hint:{{{advertiser}}}:u:{}", digest(&[user])), setting, true);
            }
        });
        let address = click.ip_hash.as_deref().zip(by_address).inspect(|(address, setting)| {
            vouched.add(format!("{prefix}:hint:{{{address}}}:v"), setting, !poster.is_bound());
            if poster.is_bound() {
                tenant.add(format!("{prefix}:hint:{{{advertiser}}}:a:{address}"), setting, true);
            }
        });
        // Keys of one tenant are in one slot of a cluster, those of an address in another.
        let (shared, click_id) = (Arc::clone(&self.0), click.click_id);
        let counted = async move {
            tokio::try_join!(shared.count(&tenant, click_id, at), shared.count(&vouched, click_id, at))
        };
        let Some((tenant, vouched)) = within(PATIENCE, counted).await else {
            metrics::counter!("clickwire_hints_missed_total").increment(1);
            return false;
        };
        let mut tenant = tenant.into_iter();
        let is_repeat = user.and(repeats).is_some() && tenant.next().is_some_and(|count| count > 1);
        let of_user = user.and(by_user).and_then(|setting| Some((tenant.next()?, setting)));
        let of_address =
            address.map(|(_, setting)| (tenant.next().unwrap_or(0) + vouched.iter().sum::<i64>(), setting));
        let is_above = |(count, setting): (i64, &Setting)| count > i64::from(setting.threshold);
        // A repeated click is a duplicate, whatever else it is.
        !is_repeat && (of_user.is_some_and(is_above) || of_address.is_some_and(is_above))
    }
}

impl Shared {
    async fn count(&self, windows: &Windows, click_id: Uuid, at: UnixMs) -> redis::RedisResult<Vec<i64>> {
        if windows.0.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = self.windows.prepare_invoke();
        call.arg(click_id.to_string()).arg(at.0);
        for (key, length_ms, cap, adds) in &windows.0 {
            call.key(key).arg(length_ms).arg(cap).arg(i32::from(*adds));
        }
        call.invoke_async(&mut self.redis.clone()).await
    }
}

/// Windows of one call: key, length in milliseconds, cap, whether the click is added.
#[derive(Default)]
struct Windows(Vec<(String, i64, u32, bool)>);

impl Windows {
    fn add(&mut self, key: String, setting: &Setting, adds: bool) {
        self.0.push((key, setting.window_ms(), setting.threshold + 1, adds));
    }
}

/// Returns whether the click alone is invalid, by the rules that come before duplicates.
fn is_invalid_alone(click: &Click, rules: &Rules) -> bool {
    let robot = rules.setting(Rule::UserAgent).filter(|_| !click.own_agent);
    robot.is_some_and(|setting| clickwire_robots::kind(setting.list, &click.user_agent).is_some())
        || (click.data_center && rules.setting(Rule::DataCenter).is_some())
}

/// A short name without what it is made of.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

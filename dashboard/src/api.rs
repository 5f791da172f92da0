//! What the API says, as far as pages show it. Reports and incidents are the protocol's own types; these are
//! rows that only the server has types for, read without what no page shows.

mod operations;
mod pipeline;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use self::{operations::*, pipeline::*};

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees its own advertisers' clicks.
    Advertiser,
    /// Looks after incidents, sees everybody's clicks.
    Ops,
    /// Sees and changes everything.
    Admin,
    /// A role of a later server.
    #[serde(other)]
    Other,
}

impl Role {
    /// The roles that an account can be given.
    pub const ALL: [Self; 3] = [Self::Advertiser, Self::Ops, Self::Admin];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advertiser => "advertiser",
            Self::Ops => "ops",
            Self::Admin => "admin",
            Self::Other => "other",
        }
    }
}

/// The viewer: `GET /api/v1/session`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Session {
    /// As it stands in records.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The advertisers that it may see; `None`: all.
    pub advertisers: Option<Vec<String>>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Page<T> {
    /// Its rows.
    pub data: Vec<T>,
    /// What the next page is `after`.
    pub next: Option<String>,
}

/// An advertiser in a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Advertiser {
    /// Its id.
    pub advertiser_id: String,
    /// For people.
    pub name: String,
}

/// An advertiser as it is registered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RegisteredAdvertiser {
    /// For people.
    pub name: String,
    /// How it is told a click's id.
    pub click_id_template: String,
    /// What of a link's query goes on to it.
    pub forwarded_params: Vec<String>,
}

/// A campaign in a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Campaign {
    /// Its id.
    pub campaign_id: String,
    /// For people.
    pub name: String,
}

/// An ad as it is registered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ad {
    /// Its id.
    pub ad_id: String,
    /// For people.
    pub name: String,
    /// Where its links lead.
    pub target_url: String,
}

/// A key of a program that posts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Key {
    /// Its id.
    pub key_id: String,
    /// For people.
    pub name: String,
    /// `live` or `test`.
    pub mode: String,
    /// The advertisers that it posts for; `None`: all.
    pub advertisers: Option<Vec<String>>,
    /// Clicks a second in the long run.
    pub rate_per_second: i64,
    /// When it was made.
    pub created_at: String,
    /// By whom.
    pub created_by: String,
    /// Until when the secret before is taken.
    pub previous_until: Option<String>,
    /// When it ended.
    pub revoked_at: Option<String>,
}

/// A key's secret, which is told once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Issued {
    /// Its id.
    pub key_id: String,
    /// For people.
    pub name: String,
    /// The secret.
    pub key: String,
}

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Its id.
    pub account_id: Uuid,
    /// What its owner signs in with.
    pub login: String,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The advertisers that it sees.
    pub advertisers: Vec<String>,
    /// When it was made.
    pub created_at: String,
    /// Since when nobody can sign in to it.
    pub disabled_at: Option<String>,
}

/// An account's password, which is told once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IssuedAccount {
    /// What its owner signs in with.
    pub login: String,
    /// The password.
    pub password: String,
}

/// A token of a program of an account's owner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Token {
    /// Its id.
    pub token_id: String,
    /// For people.
    pub name: String,
    /// When it was made.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: String,
    /// When it was ended.
    pub revoked_at: Option<String>,
}

/// A token's secret, which is told once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IssuedToken {
    /// For people.
    pub name: String,
    /// The secret.
    pub token: String,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Entry {
    /// Its number.
    pub entry_id: i64,
    /// When.
    pub at: String,
    /// The person or program that did it.
    pub actor: String,
    /// From where.
    pub origin: String,
    /// What was done.
    pub action: String,
    /// To which kind of thing.
    pub subject: String,
    /// To which one.
    pub subject_id: String,
    /// The row before.
    pub before: Option<BTreeMap<String, Value>>,
    /// The row after.
    pub after: Option<BTreeMap<String, Value>>,
}

/// A page of the audit log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Entries {
    /// Its entries.
    pub data: Vec<Entry>,
    /// What the next page is `before`.
    pub next: Option<i64>,
}

/// A version of a fraud rule.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Rule {
    /// Its name.
    pub rule: String,
    /// Its version.
    pub version: i64,
    /// Whether it judges.
    pub mode: String,
    /// Its thresholds.
    pub parameters: Value,
    /// From when on.
    pub effective_at: String,
    /// The person who made this version.
    pub changed_by: String,
    /// Why.
    pub reason: String,
}

/// The rules as they are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Rules {
    /// One a rule.
    pub data: Vec<Rule>,
}

/// An export that is made again and again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Schedule {
    /// Its id.
    pub schedule_id: Uuid,
    /// For people.
    pub name: String,
    /// The advertiser; `None`: all of them.
    pub advertiser_id: Option<String>,
    /// `breakdown`, `timeseries` or `clicks`.
    pub kind: String,
    /// What is exported of that kind.
    pub parameters: BTreeMap<String, String>,
    /// `day` or `week`.
    pub every: String,
    /// The zone of its days.
    pub time_zone: String,
    /// The hour of that zone's clock.
    pub hour: i16,
    /// The person that made it.
    pub created_by: String,
    /// Where its files are sent to.
    pub webhook_url: Option<String>,
    /// When it is made the next time.
    pub next_at: String,
}

/// The schedules.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Schedules {
    /// By name.
    pub data: Vec<Schedule>,
}

/// An export that is made, or kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExportJob {
    /// Its id.
    pub job_id: Uuid,
    /// `queued`, `running`, `done` or `failed`.
    pub status: String,
    /// `breakdown`, `timeseries` or `clicks`.
    pub kind: String,
    /// What is exported.
    pub parameters: BTreeMap<String, String>,
    /// Bytes of the file that are there.
    pub bytes: i64,
    /// Where the file is.
    pub file: Option<String>,
    /// The code of why it has failed.
    pub error: Option<String>,
    /// Whether the receiver has it.
    pub delivery: Option<String>,
    /// When it was asked for.
    pub created_at: String,
    /// When it is deleted.
    pub expires_at: String,
}

impl ExportJob {
    /// Whether it will be another one in a moment.
    pub fn is_under_way(&self) -> bool {
        matches!(self.status.as_str(), "queued" | "running") || self.delivery.as_deref() == Some("waiting")
    }
}

/// The exports.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExportJobs {
    /// The latest first.
    pub data: Vec<ExportJob>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_of_a_later_server_is_no_error() {
        let role = |name: &str| serde_json::from_str::<Role>(&format!("\"{name}\"")).unwrap();
        for known in Role::ALL {
            assert_eq!(role(known.as_str()), known);
        }
        assert_eq!(role("finance"), Role::Other);
    }
}

//! The API's answers, as far as pages show them. Reports and incidents are the protocol's own types; these are
//! rows that only the server has types for, without the fields that no page shows.

mod operations;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use self::operations::*;

/// The role of a person: its rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees its own advertisers' clicks.
    Advertiser,
    /// Sees everybody's numbers, no single clicks.
    Finance,
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
    pub const ALL: [Self; 4] = [Self::Advertiser, Self::Finance, Self::Ops, Self::Admin];

    /// Returns whether it looks after incidents.
    pub fn is_operators(self) -> bool {
        matches!(self, Self::Ops | Self::Admin)
    }

    /// Returns whether it is of people who work for the deployment.
    pub fn is_staff(self) -> bool {
        matches!(self, Self::Finance | Self::Ops | Self::Admin)
    }

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advertiser => "advertiser",
            Self::Finance => "finance",
            Self::Ops => "ops",
            Self::Admin => "admin",
            Self::Other => "other",
        }
    }
}

/// The viewer: `GET /api/v1/session`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Session {
    /// Name of the viewer as it stands in records.
    pub name: String,
    /// Role of the viewer.
    pub role: Role,
    /// The advertisers that it may see; `None`: all.
    pub advertisers: Option<Vec<String>>,
}

/// Counting as the operator's people see it: `GET /api/v1/admin/stats`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Stats {
    /// The last comparison of counts with the ledger; `None` before the first.
    pub reconciliation: Option<Reconciliation>,
}

/// A comparison of counts with the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reconciliation {
    /// End of the comparison; RFC 3339.
    pub finished_at: String,
    /// Start of the compared range; RFC 3339.
    pub range_start: String,
    /// End of the compared range; RFC 3339.
    pub range_end: String,
    /// Buckets that differed.
    pub differences: i64,
    /// Those of them that were mended.
    pub repaired: i64,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Page<T> {
    /// Its rows.
    pub data: Vec<T>,
    /// Cursor of the next page: the value of `after`.
    pub next: Option<String>,
}

/// An advertiser in a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Advertiser {
    /// Its id.
    pub advertiser_id: String,
    /// Name for people.
    pub name: String,
}

/// An advertiser as it is registered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RegisteredAdvertiser {
    /// Name for people.
    pub name: String,
    /// Template by which the advertiser is told a click's id.
    pub click_id_template: String,
    /// Parameters of a link's query that are passed on to the advertiser.
    pub forwarded_params: Vec<String>,
}

/// A campaign in a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Campaign {
    /// Its id.
    pub campaign_id: String,
    /// Name for people.
    pub name: String,
}

/// An ad as it is registered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ad {
    /// Its id.
    pub ad_id: String,
    /// Name for people.
    pub name: String,
    /// URL to which the ad's links lead.
    pub target_url: String,
}

/// A key of a program that posts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Key {
    /// Its id.
    pub key_id: String,
    /// Name for people.
    pub name: String,
    /// `live` or `test`.
    pub mode: String,
    /// The advertisers that it posts for; `None`: all.
    pub advertisers: Option<Vec<String>>,
    /// Clicks a second in the long run.
    pub rate_per_second: i64,
    /// Time at which the key was made.
    pub created_at: String,
    /// The person who made the key.
    pub created_by: String,
    /// Time until which the previous secret is accepted.
    pub previous_until: Option<String>,
    /// Time at which the key was revoked.
    pub revoked_at: Option<String>,
}

/// A key's secret, which is told once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Issued {
    /// Its id.
    pub key_id: String,
    /// Name for people.
    pub name: String,
    /// The secret.
    pub key: String,
    /// The advertisers that it posts for; `None`: all.
    pub advertisers: Option<Vec<String>>,
}

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Its id.
    pub account_id: Uuid,
    /// Login of the account's owner.
    pub login: String,
    /// Name for people.
    pub name: String,
    /// Role of the account.
    pub role: Role,
    /// The advertisers that it sees.
    pub advertisers: Vec<String>,
    /// Time at which the account was made.
    pub created_at: String,
    /// Time from which nobody can sign in to the account.
    pub disabled_at: Option<String>,
}

/// An account's password, which is told once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IssuedAccount {
    /// Login of the account's owner.
    pub login: String,
    /// The password.
    pub password: String,
}

/// A token of a program of an account's owner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Token {
    /// Its id.
    pub token_id: String,
    /// Name for people.
    pub name: String,
    /// Time at which the token was made.
    pub created_at: String,
    /// Time at which the token expires.
    pub expires_at: String,
    /// Time at which the token was revoked.
    pub revoked_at: Option<String>,
}

/// A token's secret, which is told once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IssuedToken {
    /// Name for people.
    pub name: String,
    /// The secret.
    pub token: String,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Entry {
    /// Its number.
    pub entry_id: i64,
    /// Time of the action.
    pub at: String,
    /// The person or program that did it.
    pub actor: String,
    /// Origin of the request.
    pub origin: String,
    /// The action.
    pub action: String,
    /// Kind of the thing that was acted on.
    pub subject: String,
    /// Id of that thing.
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
    /// Cursor of the next page: the value of `before`.
    pub next: Option<i64>,
}

/// A version of a fraud rule.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Rule {
    /// Its name.
    pub rule: String,
    /// Its version.
    pub version: i64,
    /// Mode of the rule: says whether it judges.
    pub mode: String,
    /// Its thresholds.
    pub parameters: Value,
    /// Time from which this version is in force.
    pub effective_at: String,
    /// The person who made this version.
    pub changed_by: String,
    /// Reason for this version.
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
    /// Name for people.
    pub name: String,
    /// The advertiser; `None`: all of them.
    pub advertiser_id: Option<String>,
    /// `breakdown`, `timeseries` or `clicks`.
    pub kind: String,
    /// Parameters of the export.
    pub parameters: BTreeMap<String, String>,
    /// `day` or `week`.
    pub every: String,
    /// The zone of its days.
    pub time_zone: String,
    /// The hour of that zone's clock.
    pub hour: i16,
    /// The person that made it.
    pub created_by: String,
    /// URL to which the files are sent.
    pub webhook_url: Option<String>,
    /// Time of the next export.
    pub next_at: String,
}

/// The schedules.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Schedules {
    /// Schedules, by name.
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
    /// Parameters of the export.
    pub parameters: BTreeMap<String, String>,
    /// Bytes of the file that are there.
    pub bytes: i64,
    /// Address of the file.
    pub file: Option<String>,
    /// Code of the reason for a failure.
    pub error: Option<String>,
    /// State of the delivery to the receiver.
    pub delivery: Option<String>,
    /// Time of the request.
    pub created_at: String,
    /// Time at which the export is deleted.
    pub expires_at: String,
}

impl ExportJob {
    /// Returns whether the export is still going to change: it is queued, running or waiting for its delivery.
    pub fn is_under_way(&self) -> bool {
        matches!(self.status.as_str(), "queued" | "running") || self.delivery.as_deref() == Some("waiting")
    }
}

/// The exports.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExportJobs {
    /// Exports, the latest first.
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
        assert_eq!(role("auditor"), Role::Other);
    }
}

//! Incidents that operations must hear of, and what is news about them.
//!
//! An incident has one row and one open life: it is opened when it is first seen, updated while it
//! lasts, resolved by itself when it is over, or by a person. Only the [`News`] about it is pushed.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::ids::{AdvertiserId, CampaignId};

/// The kind of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AlertKind))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One address clicks faster than people do.
    IpBurst,
    /// One user clicks faster than people do.
    UserBurst,
    /// A campaign's minute stands out from its last hour.
    CampaignSpike,
    /// Too much of a campaign's traffic is invalid.
    FraudRate,
    /// Accepted clicks wait too long for being counted.
    Lag,
    /// Messages that could not be read wait for a person.
    DeadLetters,
    /// A background job of the database does not do its work.
    BackgroundJob,
    /// Hours and days are not rolled up, or changes of minutes go unseen.
    Rollups,
    /// The lake archives nothing, and clicks wait for it on the stream.
    LakeStalled,
    /// A stream is on fewer brokers than it should be, or is not there.
    StreamReplicas,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::IpBurst,
        Self::UserBurst,
        Self::CampaignSpike,
        Self::FraudRate,
        Self::Lag,
        Self::DeadLetters,
        Self::BackgroundJob,
        Self::Rollups,
        Self::LakeStalled,
        Self::StreamReplicas,
    ];

    /// The name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IpBurst => "ip_burst",
            Self::UserBurst => "user_burst",
            Self::CampaignSpike => "campaign_spike",
            Self::FraudRate => "fraud_rate",
            Self::Lag => "lag",
            Self::DeadLetters => "dead_letters",
            Self::BackgroundJob => "background_job",
            Self::Rollups => "rollups",
            Self::LakeStalled => "lake_stalled",
            Self::StreamReplicas => "stream_replicas",
        }
    }

    /// Returns whether the incident is about convicted clicks: a person can say whether the rules were right.
    pub fn is_about_convictions(self) -> bool {
        match self {
            Self::IpBurst | Self::UserBurst | Self::FraudRate => true,
            Self::CampaignSpike
            | Self::Lag
            | Self::DeadLetters
            | Self::BackgroundJob
            | Self::Rollups
            | Self::LakeStalled
            | Self::StreamReplicas => false,
        }
    }
}

/// The verdict on an incident's convictions by the person who ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AlertOutcome))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The convictions are right.
    Confirmed,
    /// The convictions were wrong, and clicks were released.
    Released,
    /// Another verdict.
    Other,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Confirmed, Self::Released, Self::Other];

    /// The name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Released => "released",
            Self::Other => "other",
        }
    }
}

/// The severity of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// An operator should look at it.
    Warning,
    /// An operator must act.
    Critical,
}

impl Severity {
    /// The name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// An incident as it is, or was. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alert {
    /// Names the incident.
    pub alert_id: Uuid,
    /// The kind of the incident.
    pub kind: Kind,
    /// The subject: an address's hash, a user, a campaign, a stream.
    pub subject: String,
    /// The advertiser of the clicks, if they are one advertiser's.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub advertiser_id: Option<AdvertiserId>,
    /// The campaign of the clicks, if they are one campaign's.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub campaign_id: Option<CampaignId>,
    /// The highest severity so far.
    pub severity: Severity,
    /// Time at which the incident was first seen.
    pub opened_at: String,
    /// Time at which the incident was last seen.
    pub last_seen_at: String,
    /// Time at which the incident was over.
    pub resolved_at: Option<String>,
    /// The person who ended it; `None`: it ended by itself.
    #[serde(default)]
    pub resolved_by: Option<String>,
    /// The reason that the person who ended it gave.
    #[serde(default)]
    pub resolution: Option<String>,
    /// The verdict of that person on the convictions that it is about, if there is one.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// Time at which a person took notice.
    pub acknowledged_at: Option<String>,
    /// The person who took notice.
    pub acknowledged_by: Option<String>,
    /// Time since which a person looks after it.
    #[serde(default)]
    pub assigned_at: Option<String>,
    /// The person who looks after it.
    #[serde(default)]
    pub assigned_to: Option<String>,
    /// End of the silence on the subject, if there is one: until then nobody is called because of it.
    #[serde(default)]
    pub silenced_until: Option<String>,
    /// The person who ordered the silence.
    #[serde(default)]
    pub silenced_by: Option<String>,
    /// The reason that the person who ordered the silence gave.
    #[serde(default)]
    pub silence_reason: Option<String>,
    /// The number of notes about it.
    #[serde(default)]
    pub note_count: i64,
    /// The measured values; their fields depend on the kind.
    pub details: Value,
    /// The version: of two copies the newer has the higher one.
    pub version: i64,
}

impl Alert {
    /// An open incident of which nobody has taken notice, to be completed with what is known: nothing was measured, and
    /// its times are empty.
    pub fn bare(alert_id: Uuid, kind: Kind, subject: &str, severity: Severity) -> Self {
        Self {
            alert_id,
            kind,
            subject: subject.to_owned(),
            advertiser_id: None,
            campaign_id: None,
            severity,
            opened_at: String::new(),
            last_seen_at: String::new(),
            resolved_at: None,
            resolved_by: None,
            resolution: None,
            outcome: None,
            acknowledged_at: None,
            acknowledged_by: None,
            assigned_at: None,
            assigned_to: None,
            silenced_until: None,
            silenced_by: None,
            silence_reason: None,
            note_count: 0,
            details: Value::Null,
            version: 1,
        }
    }
}

/// The filter of a list of incidents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AlertState, rename_all = "snake_case"))]
pub enum Which {
    /// Incidents that last.
    #[default]
    Open,
    /// Incidents that are over.
    Resolved,
    /// The latest incident about each subject that is silenced now, open or resolved.
    Silenced,
    /// All incidents that were ever opened.
    All,
}

impl Which {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Silenced => "silenced",
            Self::All => "all",
        }
    }
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        named.ok_or("Expected a kind of incident, such as fraud_rate.")
    }
}

impl FromStr for Which {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Open, Self::Resolved, Self::Silenced, Self::All];
        let named = all.into_iter().find(|which| which.as_str() == text);
        named.ok_or("Expected open, resolved, silenced or all.")
    }
}

/// A page of incidents, the latest opened first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AlertPage))]
pub struct Page {
    /// The incidents.
    pub data: Vec<Alert>,
    /// Cursor for the next page; `None` after the last.
    pub next: Option<Uuid>,
}

/// A note about an incident, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AlertNote))]
pub struct Written {
    /// Grows from note to note.
    pub note_id: i64,
    /// Time at which the note was written; RFC 3339 in UTC.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub noted_at: String,
    /// The person who wrote it.
    pub author: String,
    /// The text: some lines.
    pub text: String,
}

/// An incident with the notes about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AlertWithNotes))]
pub struct WithNotes {
    /// The incident.
    #[serde(flatten)]
    pub alert: Alert,
    /// The notes, the oldest first.
    pub notes: Vec<Written>,
}

/// Names of the people to whom an incident can be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Assignees {
    /// The names, as they stand in records.
    pub data: Vec<String>,
}

/// Notes about one incident, at most.
pub const MAX_NOTES: i64 = 200;

/// Days that a silence lasts, at most.
pub const MAX_SILENCE_DAYS: i32 = 30;

/// A note about an incident: some lines, not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(String);

impl Note {
    /// Longest note, in bytes.
    pub const MAX_BYTES: usize = 2_000;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Note {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if text.is_empty() {
            Err("Must not be empty.".to_owned())
        } else if text.len() > Self::MAX_BYTES {
            Err(format!("At most {} bytes.", Self::MAX_BYTES))
        } else if text.contains(is_odd) {
            Err("Control characters are not allowed.".to_owned())
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// A kind of news about an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// The incident was seen for the first time.
    Opened,
    /// The incident is worse than it was.
    Escalated,
    /// A person took notice.
    Acknowledged,
    /// The incident has another assignee, or none any more.
    Assigned,
    /// There is a new note.
    Noted,
    /// The subject is silenced until another time.
    Silenced,
    /// The silence was lifted.
    Unsilenced,
    /// The incident is over.
    Resolved,
}

/// One piece of news: what gateways push and webhooks are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Change {
    /// Grows with every piece of news about any incident.
    pub seq: i64,
    /// The kind of the news.
    pub change: News,
    /// Time of the news; RFC 3339 in UTC.
    pub changed_at: String,
    /// The incident as it was then.
    pub alert: Alert,
}

/// Parameters of the rule `campaign_spike`: when a campaign's minute stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spike {
    /// The number of median absolute deviations above the median from which on it is a spike.
    pub deviations: u32,
    /// The fewest clicks in a minute that can be a spike.
    pub minimum_clicks: u32,
    /// Minutes that the minute is compared with.
    pub window_minutes: u32,
}

/// Parameters of the rule `fraud_rate`: when too much of a campaign's traffic is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FraudRate {
    /// The share of clicks from which on it is a warning.
    pub warning_percent: u32,
    /// The share of clicks from which on it is critical.
    pub critical_percent: u32,
    /// The fewest clicks of which the share says something.
    pub minimum_clicks: u32,
    /// Minutes that are looked at.
    pub window_minutes: u32,
}

impl Spike {
    /// Shortest window, in minutes.
    pub const MIN_WINDOW_MINUTES: u32 = 10;

    /// Longest window, in minutes.
    pub const MAX_WINDOW_MINUTES: u32 = 240;

    /// Returns whether the rule can be asked every second, and means something.
    pub fn is_valid(&self) -> bool {
        (Self::MIN_WINDOW_MINUTES..=Self::MAX_WINDOW_MINUTES).contains(&self.window_minutes)
    }
}

impl FraudRate {
    /// Longest window, in minutes.
    pub const MAX_WINDOW_MINUTES: u32 = 60;

    /// Returns whether the rule can be asked every second, and means something.
    pub fn is_valid(&self) -> bool {
        (1..=Self::MAX_WINDOW_MINUTES).contains(&self.window_minutes)
            && (1..=100).contains(&self.warning_percent)
            && (self.warning_percent..=100).contains(&self.critical_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_the_database_and_on_the_wire() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        for severity in [Severity::Warning, Severity::Critical] {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.as_str());
        }
        assert!(Severity::Warning < Severity::Critical);
    }

    #[test]
    fn a_note_may_have_lines() {
        assert_eq!(" first\n\tsecond ".parse::<Note>().unwrap().as_str(), "first\n\tsecond");
        for text in ["", " \n ", "a\u{0}b", &"n".repeat(Note::MAX_BYTES + 1)] {
            assert!(text.parse::<Note>().is_err(), "{text}");
        }
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        let spike = Spike { deviations: 6, minimum_clicks: 30, window_minutes: 60 };
        assert!(spike.is_valid());
        assert!(!Spike { window_minutes: 2, ..spike }.is_valid());
        let rate =
            FraudRate { warning_percent: 3, critical_percent: 5, minimum_clicks: 30, window_minutes: 10 };
        assert!(rate.is_valid());
        assert!(!FraudRate { critical_percent: 2, ..rate }.is_valid());
        assert!(!FraudRate { window_minutes: 0, ..rate }.is_valid());
        assert!(serde_json::from_str::<Spike>(r#"{"deviations": 6}"#).is_err());
    }
}

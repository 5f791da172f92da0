//! Incidents of users and addresses that are convicted of clicking faster than people do, opened in the very
//! transaction that convicts: no conviction, no cost.

use std::collections::BTreeMap;

use clickwire_protocol::{
    alerts::{Kind, Severity},
    ids::AdvertiserId,
    rules::Rule,
};
use serde_json::json;

use super::stored::StoredClick;
use crate::{incidents::Observation, judge::Evidence};

/// Clicks that were convicted now and not before, by address or user. A user is an advertiser's, and so is
/// an address that only its own keys tell of.
#[derive(Default)]
pub(super) struct Bursts(BTreeMap<(Kind, Option<AdvertiserId>, String), u64>);

impl Bursts {
    /// Takes note of what is known against a click now, and was not `before`.
    pub(super) fn note(&mut self, click: &StoredClick, before: Evidence) {
        for (rule, kind, subject, is_advertisers) in [
            (Rule::IpVelocity, Kind::IpBurst, &click.ip_hash, click.is_bound),
            (Rule::UserVelocity, Kind::UserBurst, &click.user_id, true),
        ] {
            if click.evidence.contains(rule)
                && !before.contains(rule)
                && let Some(subject) = subject
            {
                let advertiser = is_advertisers.then(|| click.advertiser_id().clone());
                *self.0.entry((kind, advertiser, subject.clone())).or_default() += 1;
            }
        }
    }

    /// One for each address and user.
    pub(super) fn observations(self) -> Vec<Observation> {
        let observation = |((kind, advertiser, subject), clicks)| Observation {
            kind,
            // Two advertisers may name a user alike.
            subject: match &advertiser {
                Some(advertiser) => format!("{advertiser}/{subject}"),
                None => subject,
            },
            advertiser,
            campaign: None,
            severity: Severity::Warning,
            details: json!({ "clicks": clicks }),
        };
        self.0.into_iter().map(observation).collect()
    }
}

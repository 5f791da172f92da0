//! Who is convicted of clicking faster than people do becomes an incident, in the very transaction
//! that convicts: it costs nothing as long as nobody is.

use std::collections::BTreeMap;

use clickwire_protocol::{
    alerts::{Kind, Severity},
    rules::Rule,
};
use serde_json::json;

use super::clicks::Standing;
use crate::{incidents::Observation, judge::Evidence};

/// Clicks that were convicted now and not before, by address or user.
#[derive(Default)]
pub(super) struct Bursts(BTreeMap<(Kind, String), u64>);

impl Bursts {
    /// Takes note of what is known against a click now, and was not `before`.
    pub(super) fn note(&mut self, click: &Standing, before: Evidence) {
        for (rule, kind, subject) in [
            (Rule::IpVelocity, Kind::IpBurst, &click.ip_hash),
            (Rule::UserVelocity, Kind::UserBurst, &click.user_id),
        ] {
            if click.evidence.contains(rule)
                && !before.contains(rule)
                && let Some(subject) = subject
            {
                *self.0.entry((kind, subject.clone())).or_default() += 1;
            }
        }
    }

    /// One for each address and user.
    pub(super) fn observations(self) -> Vec<Observation> {
        let observation = |((kind, subject), clicks): ((Kind, String), u64)| Observation {
            kind,
            subject,
            campaign: None,
            severity: Severity::Warning,
            details: json!({ "clicks": clicks }),
        };
        self.0.into_iter().map(observation).collect()
    }
}

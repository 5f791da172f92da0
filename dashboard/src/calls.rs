//! Calls of an operator because of an incident: a notification of the browser, a tone. Both are off until they are
//! switched on in this browser. Each incident calls once in a page's life; what is open when the page begins doesn't.

mod notice;
mod tone;

use std::collections::BTreeSet;

use clickwire_protocol::alerts::Alert;
use uuid::Uuid;
use yew::prelude::*;

pub use self::{
    notice::{Permission, ask, permission},
    tone::play,
};
use crate::{
    access::Access,
    incidents::Open,
    preferences::Switch,
    route::Route,
    router::{Place, use_router},
    words, zone,
};

/// The incidents that call nobody any more.
#[derive(Debug, Default)]
struct Calls {
    /// `None`: it is not known yet what is open.
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    seen: BTreeSet<Uuid>,
    /// Opening of the latest incident at the beginning. A list that is cut has none that is later.
    latest_ms: Option<i64>,
}

impl Calls {
    /// Returns the incidents that call now, the latest first. A silenced one calls when the silence ends, as it does
    /// elsewhere; one of which a person has taken notice does not call.
    fn due(&mut self, open: &Open) -> Vec<Alert> {
        if !open.is_known {
            return Vec::new();
        }
        let alerts = open.latest();
        let Some(begun) = &mut self.begun else {
            let latest_ms = alerts.first().and_then(|alert| zone::at_ms(&alert.opened_at));
            let seen = alerts.iter().map(|alert| alert.alert_id).collect();
            self.begun = Some(Begun { seen, latest_ms });
            return Vec::new();
        };
        if !open.is_live {
            return Vec::new();
        }
        let calls = |alert: &Alert| {
            alert.acknowledged_at.is_none()
                && !open.is_silent(alert.alert_id)
                && zone::at_ms(&alert.opened_at) >= begun.latest_ms
                && begun.seen.insert(alert.alert_id)
        };
        alerts.into_iter().filter(calls).collect()
    }
}

/// Calls the operator at this page when an incident is opened, if that is switched on.
#[hook]
pub fn use_calls(open: &Open, access: &Access) {
    let router = use_router();
    let calls = use_mut_ref(Calls::default);
    let access = access.clone();
    use_effect_with(open.clone(), move |open| {
        let due = calls.borrow_mut().due(open);
        if !due.is_empty() && Switch::Sound.is_on() {
            tone::play();
        }
        if !Switch::Notifications.is_on() {
            return;
        }
        for alert in due {
            let id = alert.alert_id;
            let title = words::called(&alert, &access.subject_of(&alert));
            let (router, query) = (router.clone(), router.place.query.carried());
            let onclick =
                Callback::from(move |()| router.go(Place::new(Route::Incidents(Some(id)), query.clone())));
            notice::show(&title, &words::measured(&alert), &id.to_string(), onclick);
        }
    });
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::alerts::Severity;

    use super::*;
    use crate::incidents::tests::alert;

    fn open(alerts: &[Alert], is_live: bool) -> Open {
        let mut open = Open::default();
        open.replace(alerts.to_vec(), alerts.len() as i64);
        open.is_live = is_live;
        open.look(zone::at_ms("2026-11-28T11:00:00Z").unwrap());
        open
    }

    fn called(calls: &mut Calls, alerts: &[Alert], is_live: bool) -> Vec<u128> {
        calls.due(&open(alerts, is_live)).iter().map(|alert| alert.alert_id.as_u128()).collect()
    }

    #[test]
    fn an_incident_calls_once_and_none_that_was_open_at_first() {
        let [first, second, third] = [5, 6, 7].map(|number| alert(number, Severity::Warning));
        let mut calls = Calls::default();
        assert!(calls.due(&Open::default()).is_empty(), "nothing is known yet");
        assert!(called(&mut calls, std::slice::from_ref(&first), true).is_empty());
        let both = [first.clone(), second.clone()];
        assert!(called(&mut calls, &both, false).is_empty(), "the connection is lost");
        assert_eq!(called(&mut calls, &both, true), [6]);
        assert!(called(&mut calls, &both, true).is_empty());
        let changed = Alert { severity: Severity::Critical, version: 2, ..second };
        assert!(called(&mut calls, &[first.clone(), changed], true).is_empty(), "it got worse");
        let older = alert(4, Severity::Warning);
        assert!(called(&mut calls, &[first, older], true).is_empty(), "the first list was cut before it");
        let seen = Alert { acknowledged_at: Some("2026-11-28T10:00:09Z".into()), ..third.clone() };
        assert!(called(&mut calls, &[seen], true).is_empty());
        assert_eq!(called(&mut calls, &[third], true), [7]);
    }

    #[test]
    fn a_silenced_incident_calls_nobody_until_the_silence_ends() {
        let mut calls = Calls::default();
        assert!(called(&mut calls, &[], true).is_empty());
        let until = |at: &str| Alert { silenced_until: Some(at.into()), ..alert(1, Severity::Critical) };
        assert!(called(&mut calls, &[until("2026-11-28T12:00:00Z")], true).is_empty());
        assert_eq!(called(&mut calls, &[until("2026-11-28T10:30:00Z")], true), [1]);
    }
}

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

/// Notifications at the same time, at most; more incidents are told in one.
const AT_ONCE: usize = 3;

/// The incidents that call nobody any more.
#[derive(Debug, Default)]
struct Calls {
    /// `None`: it is not known yet what is open.
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    seen: BTreeSet<Uuid>,
    /// Those that call as soon as their silence ends, however old they are.
    silenced: BTreeSet<Uuid>,
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
            let ids = alerts.iter().map(|alert| alert.alert_id);
            let (silenced, seen) = ids.partition(|id| open.is_silent(*id));
            self.begun = Some(Begun { seen, silenced, latest_ms });
            return Vec::new();
        };
        let Begun { seen, silenced, latest_ms } = begun;
        silenced.extend(alerts.iter().map(|alert| alert.alert_id).filter(|id| open.is_silent(*id)));
        let calls = |alert: &Alert| {
            let is_new = zone::at_ms(&alert.opened_at) >= *latest_ms || silenced.contains(&alert.alert_id);
            let calls = alert.acknowledged_at.is_none() && !open.is_silent(alert.alert_id) && is_new;
            calls && seen.insert(alert.alert_id)
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
        if due.len() > AT_ONCE {
            let (router, query) = (router.clone(), router.place.query.carried());
            let onclick =
                Callback::from(move |()| router.go(Place::new(Route::Incidents(None), query.clone())));
            notice::show(&words::called_many(due.len()), "", "incidents", onclick);
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

    fn open(alerts: &[Alert]) -> Open {
        let mut open = Open::default();
        open.replace(alerts.to_vec(), alerts.len() as i64);
        open.look(zone::at_ms("2026-11-28T11:00:00Z").unwrap());
        open
    }

    fn called(calls: &mut Calls, alerts: &[Alert]) -> Vec<u128> {
        calls.due(&open(alerts)).iter().map(|alert| alert.alert_id.as_u128()).collect()
    }

    #[test]
    fn an_incident_calls_once_and_none_that_was_open_at_first() {
        let [first, second, third] = [5, 6, 7].map(|number| alert(number, Severity::Warning));
        let mut calls = Calls::default();
        assert!(calls.due(&Open::default()).is_empty(), "nothing is known yet");
        assert!(called(&mut calls, std::slice::from_ref(&first)).is_empty());
        let both = [first.clone(), second.clone()];
        assert_eq!(called(&mut calls, &both), [6]);
        assert!(called(&mut calls, &both).is_empty());
        let changed = Alert { severity: Severity::Critical, version: 2, ..second };
        assert!(called(&mut calls, &[first.clone(), changed]).is_empty(), "it got worse");
        let older = alert(4, Severity::Warning);
        assert!(called(&mut calls, &[first, older]).is_empty(), "the first list was cut before it");
        let seen = Alert { acknowledged_at: Some("2026-11-28T10:00:09Z".into()), ..third.clone() };
        assert!(called(&mut calls, &[seen]).is_empty());
        assert_eq!(called(&mut calls, &[third]), [7]);
    }

    #[test]
    fn a_silenced_incident_calls_nobody_until_the_silence_ends() {
        let mut calls = Calls::default();
        assert!(called(&mut calls, &[]).is_empty());
        let was =
            Alert { silenced_until: Some("2026-11-28T12:00:00Z".into()), ..alert(1, Severity::Critical) };
        let mut later = Calls::default();
        assert!(called(&mut later, &[was.clone(), alert(9, Severity::Warning)]).is_empty());
        let over = Alert { silenced_until: None, ..was };
        assert_eq!(called(&mut later, &[over]), [1], "it was silenced when the page began");
        let until = |at: &str| Alert { silenced_until: Some(at.into()), ..alert(1, Severity::Critical) };
        assert!(called(&mut calls, &[until("2026-11-28T12:00:00Z")]).is_empty());
        assert_eq!(called(&mut calls, &[until("2026-11-28T10:30:00Z")]), [1]);
    }
}

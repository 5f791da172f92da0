//! Texts about choices that a browser keeps, and about calls because of an incident.

use clickwire_protocol::alerts::{Alert, Severity};

use crate::{calls::Permission, format};

texts! {
    NOTIFY = "Notify me of incidents";
    PLAY_SOUND = "Play a sound";
    CALLS_HINT = "Works while a Clickwire page is open in this browser. Some browsers play a sound only after you have clicked in the page.";
    SHORTCUTS = "Single-key shortcuts";
    ZONE_OF_BROWSER = "Time zone of the browser";
    ZONE_HINT = "Times are in this zone wherever a link names no other. This browser keeps the choice.";
}

/// Reason why the browser does not notify, and what to do; `None`: it does.
pub fn not_notified(permission: Permission) -> Option<&'static str> {
    match permission {
        Permission::Granted => None,
        Permission::Refused => Some(say!(
            "The browser does not allow notifications. Allow them for this address in the browser’s settings, then switch this on again."
        )),
        Permission::Missing => Some(say!(
            "The browser has no notifications here. They need an address that begins with https; some phones need the page installed as an app."
        )),
    }
}

/// The title of a notification: severity, kind and subject of an incident.
pub fn called(alert: &Alert, subject: &str) -> String {
    let severity = match alert.severity {
        Severity::Critical => super::CRITICAL,
        Severity::Warning => super::WARNING,
    };
    format!("{severity}: {} · {subject}", super::kind(alert.kind))
}

/// The title of a notification of many incidents.
pub fn called_many(incidents: usize) -> String {
    say!("{incidents} new incidents", incidents = format::count(incidents as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_says_how_bad_it_is_and_what_it_is_about() {
        let alert = crate::incidents::tests::alert(1, Severity::Critical);
        assert_eq!(
            called(&alert, "Northwind · camp_001"),
            "Critical: Invalid traffic · Northwind · camp_001"
        );
        assert_eq!(not_notified(Permission::Granted), None);
    }
}

//! Pages in German, drawn natively.

use yew::{AttrValue, Callback};

use super::catalogue::Learned;
use crate::{
    kit::{Pager, Problem, pager, problem, render},
    model::{Cause, Status},
    sign_in::{self, SignIn},
    status::{self, Pill},
    words,
    zone::Zone,
};

#[tokio::test]
async fn the_sign_in_is_german() {
    let props = |message| sign_in::Props { message, busy: false, onsubmit: Callback::noop() };
    let _german = Learned::german();
    let page = render::<SignIn>(props(Some(words::SIGN_IN_WRONG.into()))).await;
    for text in ["Passwort", "E-Mail-Adresse oder Benutzername", "passen nicht zusammen", "Farben: Auto"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    for english in ["Password", "Sign in", "Watch"] {
        assert!(!page.contains(english), "{english}: {page}");
    }
}

#[tokio::test]
async fn states_are_german_and_keep_their_names_for_style_sheets() {
    let _german = Learned::german();
    let status = Status::Offline(Cause::Lost { seconds: 3 });
    let props =
        status::Props { status, edge_ms: Some(12_400), zone: Zone::utc(), onconnect: Callback::noop() };
    let pill = render::<Pill>(props).await;
    for text in [r#"data-state="offline""#, "Offline", "erneut in 3 s", "Stand 00:00:12", "Jetzt verbinden"] {
        assert!(pill.contains(text), "{text}: {pill}");
    }
    let failure = crate::http::Failure::Away;
    let problem = render::<Problem>(problem::Props { failure, onretry: Some(Callback::noop()) }).await;
    assert!(problem.contains("nicht erreichbar") && problem.contains("Erneut versuchen"), "{problem}");
}

#[tokio::test]
async fn one_and_many_are_german() {
    let _german = Learned::german();
    let rows = async |shown, has_more| {
        let props = pager::Props { shown, has_more, is_loading: false, onmore: Callback::noop() };
        render::<Pager>(props).await
    };
    for (shown, has_more, text) in
        [(1, false, "1 Zeile"), (7, false, "7 Zeilen"), (50, true, "die ersten 50 Zeilen")]
    {
        let pager = rows(shown, has_more).await;
        assert!(pager.contains(text), "{text}: {pager}");
    }
}

#[test]
fn sentences_are_ordered_as_german_has_them() {
    let _german = Learned::german();
    for (said, german) in [
        (words::compared(0.124, 60), "12% mehr als in der Stunde davor"),
        (words::compared(2.4, 240), "3.4-mal so viele wie in den 4 Stunden davor"),
        (words::in_last(&words::window(5)), "letzte 5 Minuten"),
        (words::in_last(&words::window(1)), "letzte Minute"),
        (words::delete_what("adv_001"), "adv_001 löschen?"),
        (words::bell(true, 2, 1), "2 offene Vorfälle, 1 stumm"),
        (words::month(2026, 3), "März 2026"),
        (words::turns("week", 6, "Europe/Berlin"), "Montags um 06:00 Uhr, Europe/Berlin"),
    ] {
        assert_eq!(said, german);
    }
    assert_eq!(AttrValue::from(words::OVERVIEW), "Übersicht");
    assert_eq!(words::OVERVIEW.english(), "Overview");
}

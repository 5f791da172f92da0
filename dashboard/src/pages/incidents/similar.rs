//! Incidents like one: the last of its kind about the same subject, or, if there are none, the last of its kind.

use clickwire_protocol::alerts::{Alert, Page};
use uuid::Uuid;
use yew::prelude::*;

use super::super::name;
use crate::{
    access::{Access, use_access},
    ask::use_query,
    frame::View,
    http,
    kit::{Column, Empty, Loaded, Problem, Table},
    route::Route,
    router::{Link, Place},
    words,
};

/// Number of incidents that are listed.
const LISTED: usize = 10;

/// Properties of the list.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The incident.
    pub(super) alert: Alert,
    /// The address.
    pub(super) view: View,
}

/// Returns the question for the last incidents of the same kind: about this subject, or about any.
fn question(alert: &Alert, is_of_subject: bool) -> String {
    http::url(
        "/api/v1/alerts",
        [
            ("state", Some("all".to_owned())),
            ("kind", Some(alert.kind.as_str().to_owned())),
            ("subject", is_of_subject.then(|| alert.subject.clone())),
            // The incident is one of them.
            ("limit", Some((LISTED + 1).to_string())),
        ],
    )
}

/// Returns the incidents of a page without the one that they are like.
fn others(page: &Page, id: Uuid) -> Vec<Alert> {
    page.data.iter().filter(|alert| alert.alert_id != id).take(LISTED).cloned().collect()
}

/// The list.
#[component]
pub(super) fn Similar(props: &Props) -> Html {
    let access = use_access();
    let id = props.alert.alert_id;
    let of_subject = use_query::<Page>(Some(question(&props.alert, true)));
    let first = of_subject.data.as_ref().map(|page| others(page, id));
    let is_alone = first.as_ref().is_some_and(Vec::is_empty);
    let of_kind = use_query::<Page>(is_alone.then(|| question(&props.alert, false)));
    let shown = if is_alone { &of_kind } else { &of_subject };
    let rows = if is_alone { of_kind.data.as_ref().map(|page| others(page, id)) } else { first };
    html! {
        <>
            <h3>{ words::SIMILAR }</h3>
            if let Some(failure) = shown.failure.clone() {
                <Problem {failure} onretry={shown.reload.clone()} />
            }
            { list(rows.unwrap_or_default(), is_alone, shown.loaded(), &props.view, &access) }
        </>
    }
}

/// The table of the incidents; those of other subjects say which.
fn list(rows: Vec<Alert>, has_subjects: bool, loaded: Loaded, view: &View, access: &Access) -> Html {
    let count = rows.len();
    let mut columns = vec![words::SINCE, words::RESOLVED, words::BY];
    if has_subjects {
        columns.push(words::SUBJECT);
    }
    let note = (has_subjects && count > 0).then_some(words::NONE_OF_SUBJECT);
    let row = {
        let (view, access) = (view.clone(), access.clone());
        Callback::from(move |index: usize| {
            let alert = &rows[index];
            let to = Place::new(Route::Incidents(Some(alert.alert_id)), view.place.query.clone());
            let mut cells = vec![
                html! { <Link {to}>{ view.zone.stamp(&alert.opened_at) }</Link> },
                match &alert.resolved_at {
                    Some(at) => html! { view.zone.stamp(at) },
                    None => html! { words::OPEN },
                },
                match (&alert.resolved_at, &alert.resolved_by) {
                    (_, Some(by)) => name(words::person(by)),
                    (Some(_), None) => html! { words::BY_ITSELF },
                    (None, None) => html! { "–" },
                },
            ];
            if has_subjects {
                cells.push(name(&access.subject_of(alert)));
            }
            cells
        })
    };
    html! {
        <>
            if let Some(note) = note {
                <p class="soft">{ note }</p>
            }
            <Table caption={words::SIMILAR} columns={columns.into_iter().map(Column::text).collect::<Vec<_>>()} rows={count} {row} {loaded}
                empty={html! { <Empty title={words::NONE_SIMILAR} /> }} />
        </>
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::alerts::{Kind, Severity};

    use super::*;
    use crate::{account::Credential, incidents::tests::alert, kit::render, query::Query, zone::Zone};

    #[test]
    fn the_last_ten_of_the_same_kind_about_the_same_subject_are_asked_for() {
        let burst = Alert { kind: Kind::IpBurst, subject: "a b".into(), ..alert(3, Severity::Warning) };
        assert_eq!(question(&burst, true), "/api/v1/alerts?state=all&kind=ip_burst&subject=a%20b&limit=11");
        assert_eq!(question(&burst, false), "/api/v1/alerts?state=all&kind=ip_burst&limit=11");
        let page = |numbers: std::ops::Range<u128>| Page {
            data: numbers.map(|number| alert(number, Severity::Warning)).collect(),
            next: None,
        };
        let told = |page| others(&page, Uuid::from_u128(3)).len();
        assert_eq!([told(page(1..12)), told(page(4..15)), told(page(3..4))], [10, 10, 0]);
    }

    #[derive(Clone, PartialEq, Properties)]
    struct GivenProps {
        rows: Vec<Alert>,
        has_subjects: bool,
    }

    #[component]
    fn Given(props: &GivenProps) -> Html {
        let place = Place::new(Route::Incidents(None), Query::default());
        let view = View { place, scope: None, zone: Zone::utc() };
        let access = Access::new(Credential::Cookie);
        list(props.rows.clone(), props.has_subjects, Loaded::Yes, &view, &access)
    }

    #[tokio::test]
    async fn each_says_who_ended_it_and_when() {
        let ended = |by: Option<&str>| Alert {
            resolved_at: Some("2026-11-28T12:00:00Z".into()),
            resolved_by: by.map(str::to_owned),
            ..alert(2, Severity::Warning)
        };
        let shown =
            async |rows: Vec<Alert>, has_subjects| render::<Given>(GivenProps { rows, has_subjects }).await;
        let rows = vec![ended(Some("account:anna@x.example")), ended(None), alert(4, Severity::Critical)];
        let own = shown(rows.clone(), false).await;
        for expected in [
            "anna@x.example",
            words::BY_ITSELF.get(),
            words::OPEN.get(),
            "2026-11-28 12:00:00",
            "/incidents/00000000-0000-0000-0000-000000000002",
        ] {
            assert!(own.contains(expected), "{expected}: {own}");
        }
        assert!(!own.contains("camp_001") && !own.contains(words::NONE_OF_SUBJECT.get()), "{own}");
        let others = shown(rows, true).await;
        assert!(others.contains("camp_001") && others.contains(words::NONE_OF_SUBJECT.get()), "{others}");
        assert!(shown(Vec::new(), true).await.contains(words::NONE_SIMILAR.get()));
    }
}

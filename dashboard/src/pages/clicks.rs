//! `/clicks`: single clicks of the ledger, searched by the API's fields; the chosen one is shown beside them.
//!
//! Search, range and click are in the address. The click has its whole key there: an id is unique within an
//! advertiser only, and may come back after days.

mod passport;
mod search;

use clickwire_protocol::ledger::FoundClick;
use yew::prelude::*;

use self::search::{Filters, Search};
use super::{Sheet, id, name, release::ReleaseAll, sets};
use crate::{
    access::use_access,
    api::{Page, Role},
    ask::{use_pages, use_query},
    clock,
    frame::View,
    http,
    kit::{Badge, Column, Drawer, Empty, Pager, Problem, Table, Tone},
    query::Query,
    route::Route,
    router::{Link, Place, use_router},
    words, zone,
};

/// Clicks per page of the list.
const ROWS: usize = 100;

const CLICKS: &str = "/api/v1/clicks";

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// The key of a click, as an address has it: its id, and the other parts as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Key {
    click_id: String,
    clicked_at: Option<String>,
    advertiser_id: Option<String>,
}

impl Key {
    fn of(click: &FoundClick) -> Self {
        Self {
            click_id: click.click_id.to_string(),
            clicked_at: Some(click.clicked_at.clone()),
            advertiser_id: Some(click.advertiser_id.to_string()),
        }
    }

    fn read(text: &str) -> Self {
        let mut parts = text.splitn(3, ',').map(str::to_owned);
        Self {
            click_id: parts.next().unwrap_or_default(),
            clicked_at: parts.next(),
            advertiser_id: parts.next(),
        }
    }

    fn write(&self) -> String {
        let parts = [Some(&self.click_id), self.clicked_at.as_ref(), self.advertiser_id.as_ref()];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(",")
    }

    fn is_of(&self, click: &FoundClick) -> bool {
        let same =
            |wanted: &Option<String>, known: &str| wanted.as_deref().is_none_or(|wanted| wanted == known);
        self.click_id == click.click_id.to_string()
            && same(&self.clicked_at, &click.clicked_at)
            && same(&self.advertiser_id, click.advertiser_id.as_str())
    }

    /// Returns the API's URL for this click alone.
    fn url(&self) -> String {
        // The end is exclusive, and the API's times are finer than a minute.
        let end = self.clicked_at.as_deref().and_then(zone::at_ms).map(|at_ms| zone::rfc3339(at_ms + 60_000));
        let parameters = [
            ("click_id", Some(self.click_id.clone())),
            ("advertiser_id", self.advertiser_id.clone()),
            ("start_time", self.clicked_at.clone().filter(|_| end.is_some())),
            ("end_time", end),
        ];
        http::url(CLICKS, parameters)
    }
}

/// The page.
#[component]
pub fn Clicks(props: &Props) -> Html {
    let (access, router) = (use_access(), use_router());
    let shown = search::shown(&access);
    let query = props.view.place.query.clone();
    let search = Search::read(&query.search);
    let scope = props.view.scope.clone();
    // The same moment for as long as the same is asked: a list does not begin anew while it is read.
    let now_ms = use_memo((query.search.clone(), query.range.clone(), scope.clone()), |_| clock::now_ms());
    let list = use_pages::<Page<FoundClick>>(Some(search.url(&props.view, *now_ms, ROWS)));
    let chosen = query.part.as_deref().map(Key::read);
    let at = {
        let query = query.clone();
        move |part: Option<String>| Place::new(Route::Clicks, Query { part, ..query.clone() })
    };
    let position = chosen.as_ref().and_then(|chosen| list.rows.iter().position(|click| chosen.is_of(click)));
    let onsearch = {
        let (router, reload, present) = (router.clone(), list.reload.clone(), search.clone());
        Callback::from(move |search: Search| {
            if search == present {
                reload.emit(());
            }
            router.change(|query| {
                query.search = search.write();
                query.part = None;
            });
        })
    };
    let aside = chosen.map(|chosen| {
        let onclose = {
            let (router, to) = (router.clone(), at(None));
            Callback::from(move |()| router.go(to.clone()))
        };
        let known = position.map(|index| list.rows[index].clone());
        let key = chosen.write();
        html! {
            <Drawer title={words::CLICK} {onclose} {key}>
                <Chosen {chosen} {known} view={props.view.clone()} onchanged={list.reload.clone()} />
            </Drawer>
        }
    });
    let shows_advertiser = scope.is_none();
    let releases_all = use_state_eq(|| false);
    let is_of_one = scope.is_some() || search.is_of_address();
    let may_release_all = access.role() == Role::Admin && is_of_one && list.rows.iter().any(is_convicted);
    let actions = html! {
        if may_release_all {
            <button type="button" class="quiet" onclick={sets(&releases_all, true).reform(|_: MouseEvent| ())}>{ words::RELEASE_ALL_MORE }</button>
        }
    };
    let row = {
        let (rows, zone) = (list.rows.clone(), props.view.zone.clone());
        Callback::from(move |index: usize| {
            let click = &rows[index];
            let mut cells = vec![
                html! { <Link to={at(Some(Key::of(click).write()))}>{ zone.stamp(&click.clicked_at) }</Link> },
                verdict(click),
                html! { click.rule.as_deref().map(words::rule).unwrap_or_default() },
                id(&click.campaign_id),
                id(&click.ad_id),
                html! { format!("{} · {}", click.country, click.device_type) },
                name(click.user_id.as_deref().unwrap_or("–")),
            ];
            if shows_advertiser {
                cells.insert(1, name(&access.advertiser_name(click.advertiser_id.as_str())));
            }
            cells
        })
    };
    let mut columns = vec![
        words::TIME,
        words::VERDICT,
        words::RULE,
        words::CAMPAIGN,
        words::AD,
        words::FROM_WHERE,
        words::USER,
    ];
    if shows_advertiser {
        columns.insert(1, words::ADVERTISER);
    }
    html! {
        <Sheet title={words::FIND_CLICKS} {actions} {aside}>
            <Filters search={search.clone()} failure={list.failure.clone()} {onsearch} />
            if let Some(failure) = list.failure.clone().filter(|failure| failure.beside(shown).is_some()) {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            <Table caption={words::CLICKS} columns={columns.into_iter().map(Column::text).collect::<Vec<_>>()} rows={list.rows.len()} {row} selected={position}
                loaded={list.loaded()}
                empty={html! { <Empty title={words::NO_CLICKS} text={words::NO_CLICKS_WHY} /> }} />
            <Pager shown={list.rows.len()} has_more={list.has_more} is_loading={list.is_loading} onmore={list.more.clone()} />
            if *releases_all {
                <ReleaseAll search={search.query(&props.view, *now_ms)} onclose={sets(&releases_all, false)} onreleased={list.reload.clone()} />
            }
        </Sheet>
    }
}

/// Returns whether a rule has convicted the click and it can be released.
pub(super) fn is_convicted(click: &FoundClick) -> bool {
    matches!(click.disposition.as_str(), "givt" | "sivt") && !click.released
}

/// The badge of a click's verdict.
fn verdict(click: &FoundClick) -> Html {
    let tone =
        if matches!(click.disposition.as_str(), "givt" | "sivt") { Tone::Critical } else { Tone::Neutral };
    html! { <span title={words::verdict_why(&click.disposition)}><Badge text={words::verdict(&click.disposition).to_owned()} {tone} /></span> }
}

#[derive(Clone, PartialEq, Properties)]
struct ChosenProps {
    chosen: Key,
    /// The click, if the list has it.
    known: Option<FoundClick>,
    view: View,
    onchanged: Callback<()>,
}

/// The chosen click. One that is not in the list is requested by itself.
#[component]
fn Chosen(props: &ChosenProps) -> Html {
    let asked = use_query::<Page<FoundClick>>(props.known.is_none().then(|| props.chosen.url()));
    let found = asked.data.as_ref().and_then(|page| page.data.iter().find(|click| props.chosen.is_of(click)));
    let onchanged = {
        let (again, onchanged, is_asked) =
            (asked.reload.clone(), props.onchanged.clone(), props.known.is_none());
        Callback::from(move |()| {
            if is_asked {
                again.emit(());
            }
            onchanged.emit(());
        })
    };
    let click = props.known.as_ref().or(found);
    html! {
        if let Some(click) = click {
            <passport::Passport click={click.clone()} view={props.view.clone()} {onchanged} />
        } else if let Some(failure) = asked.failure.clone() {
            <Problem {failure} onretry={asked.reload.clone()} />
        } else if !asked.is_loading {
            <Empty title={words::NO_SUCH_CLICK} text={words::NO_SUCH_CLICK_WHY} />
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    pub(in super::super) fn click() -> FoundClick {
        let click = serde_json::json!({
            "click_id": "018f6f0e-7c1a-7e2b-9d3c-4b5a69788796", "clicked_at": "2026-11-28T10:00:00.123Z",
            "received_at": "2026-11-28T10:00:01.000Z", "advertiser_id": "adv_001", "campaign_id": "camp_001",
            "ad_id": "ad_001", "country": "DE", "device_type": "mobile", "os": null, "browser": null, "user_id": null,
            "disposition": "valid", "rule": null, "rule_version": null, "evidence": null, "robot": null,
            "released": false, "params": BTreeMap::<String, String>::new(), "referrer": null, "adjustments": []
        });
        serde_json::from_value(click).unwrap()
    }

    #[test]
    fn a_click_is_named_by_its_whole_key_or_by_its_id_alone() {
        let click = click();
        let key = Key::of(&click);
        assert_eq!(Key::read(&key.write()), key);
        assert!(key.is_of(&click));
        let of_another = FoundClick {
            advertiser_id: clickwire_protocol::ids::AdvertiserId::unchecked("adv_002"),
            ..click.clone()
        };
        let later = FoundClick { clicked_at: "2026-11-30T10:00:00Z".into(), ..click.clone() };
        assert!(!key.is_of(&of_another) && !key.is_of(&later));
        let id = Key::read("018f6f0e-7c1a-7e2b-9d3c-4b5a69788796");
        assert!(id.is_of(&click) && id.is_of(&of_another));
        assert_eq!(id.url(), "/api/v1/clicks?click_id=018f6f0e-7c1a-7e2b-9d3c-4b5a69788796");
        assert!(
            key.url().ends_with(
                "&advertiser_id=adv_001&start_time=2026-11-28T10:00:00.123Z&end_time=2026-11-28T10:01:00Z"
            ),
            "{}",
            key.url()
        );
        assert!(!Key::read("x,yesterday").url().contains("time"), "what is no time is not sent");
    }
}

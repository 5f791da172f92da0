//! `/campaigns`: an advertiser's campaigns, with their numbers of the last day.

use std::{collections::HashMap, rc::Rc};

use clickwire_protocol::report::{Breakdown, Numbers};
use serde_json::json;
use yew::prelude::*;

use super::{NEW, Sheet, chosen::use_chosen, id, name, record::use_record};
use crate::{
    access::use_access,
    api::{Campaign, Page, Role},
    ask::{use_pages, use_query},
    format,
    frame::View,
    http,
    kit::{Column, Drawer, Empty, Field, Pager, Problem, Table, use_field},
    query::{Filter, Query},
    route::Route,
    router::{Link, Place, use_router},
    words,
};

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// The page.
#[component]
pub fn Campaigns(props: &Props) -> Html {
    let (access, router) = (use_access(), use_router());
    let scope = props.view.scope.as_ref().map(ToString::to_string);
    let url = |path: &str| scope.clone().map(|id| http::url(path, [("advertiser_id", Some(id))]));
    let list = use_pages::<Page<Campaign>>(url("/api/v1/campaigns"));
    let counts = url("/api/v1/analytics/breakdown").map(|url| url + "&group_by=campaign_id&limit=1000");
    let counts = use_query::<Breakdown>(counts);
    let numbers = use_memo(counts.data.as_ref().map(Rc::as_ptr), |_| by_campaign(counts.data.as_deref()));
    let query = props.view.place.query.clone();
    let chosen = query.part.clone();
    let at = {
        let query = query.clone();
        move |part: Option<String>| Place::new(Route::Campaigns, Query { part, ..query.clone() })
    };
    let is_admin = access.role() == Role::Admin;
    let close = {
        let to = at(None);
        Callback::from(move |()| router.go(to.clone()))
    };
    let onchanged = {
        let (reload, close) = (list.reload.clone(), close.clone());
        Callback::from(move |()| {
            reload.emit(());
            close.emit(());
        })
    };
    let named = chosen.clone().filter(|chosen| chosen != NEW);
    let (found, again) = use_chosen::<_, Page<Campaign>>(
        &list,
        |row| Some(&row.campaign_id) == named.as_ref(),
        named.clone().zip(scope.clone()).map(|(id, advertiser_id)| {
            http::url(
                "/api/v1/campaigns",
                [("advertiser_id", Some(advertiser_id)), ("campaign_id", Some(id))],
            )
        }),
        |page| page.data.first(),
    );
    let aside = chosen.as_deref().zip(scope.clone()).map(|(chosen, advertiser_id)| {
        let campaign = found.row().cloned();
        let is_new = chosen == NEW;
        let unknown = if is_new { words::NEW_CAMPAIGN } else { words::CAMPAIGN };
        let title = campaign.as_ref().map_or(unknown.to_string(), |known| known.name.clone());
        let within = Filter {
            dimension: clickwire_protocol::report::Dimension::CampaignId,
            values: vec![chosen.to_owned()],
            is_exclusion: false,
        };
        let to = |route| Place::new(route, Query { filters: vec![within.clone()], ..query.carried() });
        let key = format!("{chosen} {}", campaign.is_some());
        html! {
            <Drawer {title} onclose={close.clone()} {key}>
                if is_new || campaign.is_some() {
                    <Form {advertiser_id} {campaign} {is_admin} onchanged={onchanged.clone()} />
                    if !is_new {
                        <p class="links"><Link to={to(Route::Ads)}>{ words::ITS_ADS }</Link><Link to={to(Route::Explore)}>{ words::ITS_CLICKS }</Link></p>
                    }
                } else {
                    { found.state(words::NO_SUCH_CAMPAIGN, &again) }
                }
            </Drawer>
        }
    });
    let row = {
        // Of campaigns beyond the question's limit nothing is known.
        let counted = counts.data.as_ref().map(|counts| &counts.rows);
        let is_known = counted.is_some_and(|rows| rows.iter().all(|row| !row.group.other));
        let (rows, at, numbers) = (list.rows.clone(), at.clone(), numbers.clone());
        Callback::from(move |index: usize| {
            let row = &rows[index];
            let number = |of: fn(&Numbers) -> i64| match (numbers.get(&row.campaign_id), is_known) {
                (Some(numbers), _) => html! { format::count(of(numbers)) },
                (None, true) => html! { "0" },
                (None, false) => html! { <span class="soft">{ "–" }</span> },
            };
            vec![
                html! { <Link to={at(Some(row.campaign_id.clone()))}>{ name(&row.name) }</Link> },
                id(&row.campaign_id),
                number(|numbers| numbers.clicks),
                number(|numbers| numbers.billable),
                number(|numbers| numbers.fraud_count),
            ]
        })
    };
    let actions = html! { if is_admin && scope.is_some() { <Link class="primary" to={at(Some(NEW.to_owned()))}>{ words::NEW_CAMPAIGN }</Link> } };
    let columns = vec![
        Column::text(words::NAME),
        Column::text(words::ID),
        Column::number(words::CLICKS),
        Column::number(words::BILLABLE),
        Column::number(words::INVALID_CLICKS),
    ];
    html! {
        <Sheet title={words::CAMPAIGNS} {actions} {aside}>
            if let Some(failure) = list.failure.clone() {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            <p class="soft">{ words::LAST_DAY }</p>
            <Table caption={words::CAMPAIGNS} {columns} rows={list.rows.len()} {row} loaded={list.loaded()}
                selected={list.rows.iter().position(|row| Some(&row.campaign_id) == chosen.as_ref())}
                empty={html! { <Empty title={words::NO_CAMPAIGNS} text={words::NO_CAMPAIGNS_WHY} /> }} />
            <Pager shown={list.rows.len()} has_more={list.has_more} is_loading={list.is_loading} onmore={list.more.clone()} />
        </Sheet>
    }
}

fn by_campaign(counts: Option<&Breakdown>) -> HashMap<String, Numbers> {
    let rows = counts.into_iter().flat_map(|counts| &counts.rows);
    rows.filter_map(|row| Some((row.group.campaign_id.clone()?, row.numbers))).collect()
}

#[derive(Clone, PartialEq, Properties)]
struct FormProps {
    advertiser_id: String,
    /// The campaign; `None`: a new one.
    campaign: Option<Campaign>,
    is_admin: bool,
    onchanged: Callback<()>,
}

#[component]
fn Form(props: &FormProps) -> Html {
    let known = props.campaign.as_ref();
    let (campaign_id, onid) = use_field(known.map(|known| known.campaign_id.as_str()).unwrap_or_default());
    let (name, onname) = use_field(known.map(|known| known.name.as_str()).unwrap_or_default());
    let is_new = known.is_none();
    let record = use_record("campaigns", &campaign_id, is_new, props.is_admin, &props.onchanged);
    let onsubmit = record.saves(json!({ "advertiser_id": props.advertiser_id, "name": name }));
    html! {
        <>
            <form class="form" {onsubmit}>
                <Field id="campaign-id" label={words::ID} value={campaign_id} oninput={onid} required=true disabled={!is_new} first={is_new}
                    hint={if is_new { words::ID_HINT.get() } else { "" }} error={record.wrong("campaign_id")} placeholder="camp_spring" />
                <Field id="campaign-name" label={words::NAME} value={name.clone()} oninput={onname} required=true disabled={!props.is_admin}
                    error={record.wrong("name")} placeholder={words::EXAMPLE_CAMPAIGN} />
                { record.end(&["campaign_id", "name"]) }
            </form>
            { record.question(&name, words::DELETE_CAMPAIGN_WHY) }
        </>
    }
}

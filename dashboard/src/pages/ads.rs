//! `/ads`: a campaign's ads, and their links.

use clickwire_protocol::report::Dimension;
use serde_json::json;
use yew::prelude::*;

use super::{NEW, Sheet, chosen::use_chosen, command::origin, id, name, record::use_record, registered};
use crate::{
    access::use_access,
    api::{Ad, Campaign, Page, Role},
    ask::{use_pages, use_query},
    frame::View,
    http,
    kit::{Column, Drawer, Empty, Field, Loaded, Pager, Problem, Secret, Select, Table, use_field},
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

/// The campaign that an address names.
fn named(query: &Query) -> Option<&String> {
    let filter = query.filters.iter().find(|filter| filter.dimension == Dimension::CampaignId)?;
    filter.values.first()
}

/// The link of an ad, on the page's own host.
pub(crate) fn link_of(ad_id: &str) -> String {
    format!("{}/r/{}", origin(), crate::query::encode(ad_id))
}

/// The page.
#[component]
pub fn Ads(props: &Props) -> Html {
    let (access, router) = (use_access(), use_router());
    let query = props.view.place.query.clone();
    let scope = props.view.scope.as_ref().map(ToString::to_string);
    let url = scope.clone().map(|id| http::url("/api/v1/campaigns", [("advertiser_id", Some(id))]));
    let campaigns = use_query::<Page<Campaign>>(url);
    let campaigns_known = campaigns.data.as_ref().map(|page| page.data.clone()).unwrap_or_default();
    let first = campaigns_known.first().map(|campaign| campaign.campaign_id.clone());
    let campaign_id = named(&query).cloned().or(first);
    let list = use_pages::<Page<Ad>>(campaign_id.as_ref().map(|id| registered("campaigns", id) + "/ads"));
    let chosen = query.part.clone();
    let at = {
        let query = query.clone();
        move |part: Option<String>| Place::new(Route::Ads, Query { part, ..query.clone() })
    };
    let is_admin = access.role() == Role::Admin;
    let close = {
        let (router, to) = (router.clone(), at(None));
        Callback::from(move |()| router.go(to.clone()))
    };
    let onchanged = {
        let (reload, close) = (list.reload.clone(), close.clone());
        Callback::from(move |()| {
            reload.emit(());
            close.emit(());
        })
    };
    let ad_id = chosen.clone().filter(|chosen| chosen != NEW);
    let (found, again) = use_chosen::<_, Page<Ad>>(
        &list,
        |row| Some(&row.ad_id) == ad_id.as_ref(),
        ad_id.as_ref().and(campaign_id.as_ref()).and(scope.as_ref()).map(|_| {
            let of = [
                ("advertiser_id", scope.clone()),
                ("campaign_id", campaign_id.clone()),
                ("ad_id", ad_id.clone()),
            ];
            http::url("/api/v1/ads", of)
        }),
        |page| page.data.first(),
    );
    let aside = chosen.as_deref().zip(campaign_id.clone()).map(|(chosen, campaign_id)| {
        let ad = found.row().cloned();
        let is_new = chosen == NEW;
        let unknown = if is_new { words::NEW_AD } else { words::AD };
        let title = ad.as_ref().map_or(unknown.to_string(), |known| known.name.clone());
        let key = format!("{chosen} {}", ad.is_some());
        html! {
            <Drawer {title} onclose={close.clone()} {key}>
                if is_new || ad.is_some() {
                    <Form {campaign_id} {ad} {is_admin} onchanged={onchanged.clone()} />
                } else {
                    { found.state(words::NO_SUCH_AD, &again) }
                }
            </Drawer>
        }
    });
    let row = {
        let (rows, at) = (list.rows.clone(), at.clone());
        Callback::from(move |index: usize| {
            let row = &rows[index];
            vec![
                html! { <Link to={at(Some(row.ad_id.clone()))}>{ name(&row.name) }</Link> },
                id(&row.ad_id),
                html! { <span class="url" title={row.target_url.clone()}>{ &row.target_url }</span> },
            ]
        })
    };
    let onchoose = Callback::from(move |chosen: AttrValue| {
        router.change(|query| {
            let values = vec![chosen.to_string()];
            query.set_filter(Filter { dimension: Dimension::CampaignId, values, is_exclusion: false });
            query.part = None;
        });
    });
    let options: Vec<(AttrValue, AttrValue)> = campaigns_known
        .iter()
        .map(|known| (known.campaign_id.clone().into(), known.name.clone().into()))
        .collect();
    let actions = html! { if is_admin && campaign_id.is_some() { <Link class="primary" to={at(Some(NEW.to_owned()))}>{ words::NEW_AD }</Link> } };
    let failure = campaigns.failure.clone().or(list.failure.clone());
    // Without campaigns it is not known whose ads are to be asked for.
    let loaded = match campaigns.loaded() {
        Loaded::Yes => list.loaded(),
        unknown => unknown,
    };
    let onretry = list.reload.reform({
        let again = campaigns.reload.clone();
        move |()| again.emit(())
    });
    html! {
        <Sheet title={words::ADS} {actions} {aside}>
            if let Some(failure) = failure {
                <Problem {failure} {onretry} />
            }
            <div class="toolbar">
                <Select id="campaign" label={words::CAMPAIGN} {options} value={campaign_id.clone().unwrap_or_default()} {onchoose} bare=true />
            </div>
            <Table caption={words::ADS} columns={vec![Column::text(words::NAME), Column::text(words::ID), Column::text(words::TARGET)]} rows={list.rows.len()} {row}
                selected={list.rows.iter().position(|row| Some(&row.ad_id) == chosen.as_ref())} {loaded}
                empty={html! { <Empty title={words::NO_ADS} text={if campaign_id.is_some() { words::NO_ADS_WHY } else { words::NO_CAMPAIGNS_WHY }} /> }} />
            <Pager shown={list.rows.len()} has_more={list.has_more} is_loading={list.is_loading} onmore={list.more.clone()} />
        </Sheet>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct FormProps {
    campaign_id: String,
    /// The ad; `None`: a new one.
    ad: Option<Ad>,
    is_admin: bool,
    onchanged: Callback<()>,
}

#[component]
fn Form(props: &FormProps) -> Html {
    let begin = |of: fn(&Ad) -> &String| props.ad.as_ref().map(of).cloned().unwrap_or_default();
    let (ad_id, onid) = use_field(&begin(|ad| &ad.ad_id));
    let (name, onname) = use_field(&begin(|ad| &ad.name));
    let (target, ontarget) = use_field(&begin(|ad| &ad.target_url));
    let is_new = props.ad.is_none();
    let record = use_record("ads", &ad_id, is_new, props.is_admin, &props.onchanged);
    let onsubmit =
        record.saves(json!({ "campaign_id": props.campaign_id, "name": name, "target_url": target }));
    html! {
        <>
            if !is_new {
                <h3>{ words::LINK }</h3>
                <Secret text={link_of(&ad_id)} what={words::THE_LINK} />
            }
            <form class="form" {onsubmit}>
                <Field id="ad-id" label={words::ID} value={ad_id} oninput={onid} required=true disabled={!is_new} first={is_new}
                    hint={if is_new { words::ID_HINT.get() } else { "" }} error={record.wrong("ad_id")} placeholder="ad_banner" />
                <Field id="ad-name" label={words::NAME} value={name.clone()} oninput={onname} required=true disabled={!props.is_admin} error={record.wrong("name")} placeholder="Banner" />
                <Field id="ad-target" label={words::TARGET} kind="url" value={target} oninput={ontarget} required=true disabled={!props.is_admin}
                    hint={words::TARGET_HINT} error={record.wrong("target_url")} placeholder="https://shop.example/" />
                { record.end(&["ad_id", "name", "target_url"]) }
            </form>
            { record.question(&name, words::DELETE_AD_WHY) }
        </>
    }
}

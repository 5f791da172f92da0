//! `/advertisers`: registered advertisers, and the way in which each receives a click's id.

use serde_json::json;
use yew::prelude::*;

use super::{NEW, Sheet, id, listed, name, record::use_record, registered};
use crate::{
    access::use_access,
    api::{Advertiser, Page, RegisteredAdvertiser, Role},
    ask::{use_pages, use_query},
    kit::{Column, Drawer, Empty, Field, Pager, Problem, Table, use_field},
    route::Route,
    router::{Link, Place, use_router},
    words,
};

/// The page.
#[component]
pub fn Advertisers() -> Html {
    let (access, router) = (use_access(), use_router());
    let list = use_pages::<Page<Advertiser>>(Some("/api/v1/advertisers".to_owned()));
    let query = router.place.query.clone();
    let chosen = query.part.clone();
    let at = move |part: Option<String>| {
        Place::new(Route::Advertisers, crate::query::Query { part, ..query.clone() })
    };
    let is_admin = access.role() == Role::Admin;
    let close = {
        let (router, to) = (router.clone(), at(None));
        Callback::from(move |()| router.go(to.clone()))
    };
    let onchanged = {
        let (reload, all, close) = (list.reload.clone(), access.onadvertisers.clone(), close.clone());
        Callback::from(move |()| {
            reload.emit(());
            all.emit(());
            close.emit(());
        })
    };
    let known = |wanted: &str| list.rows.iter().find(|row| row.advertiser_id == wanted).cloned();
    let aside = chosen.as_deref().map(|chosen| {
        let advertiser = known(chosen);
        let title = advertiser.as_ref().map_or(words::NEW_ADVERTISER.to_string(), |known| known.name.clone());
        html! {
            <Drawer {title} onclose={close.clone()} key={chosen.to_owned()}>
                <Details advertiser_id={(chosen != NEW).then(|| chosen.to_owned())} name={advertiser.map(|known| known.name)} {is_admin} onchanged={onchanged.clone()} />
            </Drawer>
        }
    });
    let row = {
        let (rows, at) = (list.rows.clone(), at.clone());
        Callback::from(move |index: usize| {
            let row = &rows[index];
            let to = at(Some(row.advertiser_id.clone()));
            vec![html! { <Link {to}>{ name(&row.name) }</Link> }, id(&row.advertiser_id)]
        })
    };
    let actions = html! { if is_admin { <Link class="primary" to={at(Some(NEW.to_owned()))}>{ words::NEW_ADVERTISER }</Link> } };
    html! {
        <Sheet title={words::ADVERTISERS} {actions} {aside}>
            if let Some(failure) = list.failure.clone() {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            <Table caption={words::ADVERTISERS} columns={vec![Column::text(words::NAME), Column::text(words::ID)]} rows={list.rows.len()} {row}
                selected={list.rows.iter().position(|row| Some(&row.advertiser_id) == chosen.as_ref())}
                loaded={list.loaded()} empty={html! { <Empty title={words::NO_ADVERTISERS} text={words::NO_ADVERTISERS_WHY} /> }} />
            <Pager shown={list.rows.len()} has_more={list.has_more} is_loading={list.is_loading} onmore={list.more.clone()} />
        </Sheet>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct DetailsProps {
    /// The advertiser's id; `None`: a new advertiser.
    advertiser_id: Option<String>,
    name: Option<String>,
    is_admin: bool,
    onchanged: Callback<()>,
}

/// An advertiser as it is registered, or a new one.
#[component]
fn Details(props: &DetailsProps) -> Html {
    let url = props.advertiser_id.as_ref().map(|id| registered("advertisers", id));
    let answer = use_query::<RegisteredAdvertiser>(url);
    if let Some(failure) = answer.failure {
        return html! { <Problem {failure} onretry={answer.reload} /> };
    }
    let known = answer.data.map(|known| (*known).clone());
    if props.advertiser_id.is_some() && known.is_none() {
        return html! { <span class="skeleton line" /> };
    }
    html! { <Form {known} details={props.clone()} /> }
}

#[derive(Clone, PartialEq, Properties)]
struct FormProps {
    known: Option<RegisteredAdvertiser>,
    details: DetailsProps,
}

const FIELDS: [&str; 4] = ["advertiser_id", "name", "click_id_template", "forwarded_params"];

#[component]
fn Form(props: &FormProps) -> Html {
    let FormProps { known, details } = props;
    let begin = |of: fn(&RegisteredAdvertiser) -> String| known.as_ref().map(of).unwrap_or_default();
    let (advertiser_id, onid) = use_field(details.advertiser_id.as_deref().unwrap_or_default());
    let (name, onname) = use_field(&begin(|known| known.name.clone()));
    let (template, ontemplate) = use_field(&begin(|known| known.click_id_template.clone()));
    let (params, onparams) = use_field(&begin(|known| known.forwarded_params.join(", ")));
    let is_new = details.advertiser_id.is_none();
    let is_fixed = !details.is_admin;
    let record = use_record("advertisers", &advertiser_id, is_new, details.is_admin, &details.onchanged);
    let mut content = json!({ "name": name });
    if !is_new {
        content["click_id_template"] = json!(template);
        content["forwarded_params"] = json!(listed(&params));
    }
    let onsubmit = record.saves(content);
    html! {
        <>
            <form class="form" {onsubmit}>
                <Field id="advertiser-id" label={words::ID} value={advertiser_id.clone()} oninput={onid} required=true disabled={!is_new} first={is_new}
                    hint={if is_new { words::ID_HINT.get() } else { "" }} error={record.wrong("advertiser_id")} placeholder="adv_northwind" />
                <Field id="advertiser-name" label={words::NAME} value={name.clone()} oninput={onname} required=true disabled={is_fixed} error={record.wrong("name")} placeholder="Northwind" />
                if !is_new {
                    <Field id="advertiser-template" label={words::TEMPLATE} value={template} oninput={ontemplate} disabled={is_fixed} hint={words::TEMPLATE_HINT} error={record.wrong("click_id_template")} />
                    <Field id="advertiser-params" label={words::FORWARDED} value={params} oninput={onparams} disabled={is_fixed} hint={words::FORWARDED_HINT} error={record.wrong("forwarded_params")} />
                }
                { record.end(&FIELDS) }
            </form>
            { record.question(&name, words::DELETE_ADVERTISER_WHY) }
        </>
    }
}

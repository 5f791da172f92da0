//! Pages, one a file; they are made of the [`kit`](crate::kit).

use clickwire_protocol::report::Basis;
use yew::prelude::*;

use crate::{
    ask::Mutation,
    frame::View,
    words::{self, Text},
};

pub mod account;
pub mod accounts;
pub mod ad;
pub mod ads;
pub mod advertisers;
pub mod audit;
pub mod campaign;
mod campaign_names;
pub mod campaigns;
mod chosen;
pub mod clicks;
mod command;
pub mod dead_letters;
pub mod deployment;
pub mod developers;
pub mod explore;
mod export;
pub mod incidents;
pub mod keys;
pub mod links;
pub mod pipeline;
mod record;
mod release;
pub mod reports;
pub mod rules;
pub mod setup;
mod shown_once;
pub mod statement;
pub mod storage;
pub mod test_clicks;
mod traffic;
pub mod wall;
pub mod welcome;

/// Properties of a page with a title and actions.
#[derive(Clone, PartialEq, Properties)]
pub struct SheetProps {
    /// The title.
    pub title: AttrValue,
    /// Actions of the page.
    #[prop_or_default]
    pub actions: Html,
    /// Details beside the content.
    #[prop_or_default]
    pub aside: Option<Html>,
    /// The content.
    pub children: Html,
}

/// A page.
#[component]
pub fn Sheet(props: &SheetProps) -> Html {
    html! {
        <main class={classes!("sheet", props.aside.is_some().then_some("with-aside"))}>
            <div class="sheet-main">
                <div class="sheet-head">
                    <h1><bdi>{ &props.title }</bdi></h1>
                    <div class="sheet-actions">{ props.actions.clone() }</div>
                </div>
                { props.children.clone() }
            </div>
            if let Some(aside) = &props.aside {
                { aside.clone() }
            }
        </main>
    }
}

/// Returns the text that says up to when the numbers of a report are final.
pub(crate) fn final_to(basis: &Basis, view: &View) -> String {
    match &basis.final_before {
        Some(at) => words::complete_to(&view.zone.stamp(at)),
        None => words::PROVISIONAL.to_string(),
    }
}

/// The part of an address that stands for a new thing.
pub(crate) const NEW: &str = "+";

/// An id as tables show it.
pub(crate) fn id(text: &str) -> Html {
    html! { <code class="id">{ text }</code> }
}

/// A name, in whichever direction it is written.
pub(crate) fn name(text: &str) -> Html {
    html! { <bdi class="named" title={text.to_owned()}>{ text }</bdi> }
}

/// Returns the callback that follows a change: it shows a message and calls `then`.
pub(crate) fn done(toast: &Callback<AttrValue>, said: Text, then: &Callback<()>) -> Callback<String> {
    let (toast, then) = (toast.clone(), then.clone());
    Callback::from(move |_| {
        toast.emit(said.into());
        then.emit(());
    })
}

/// Returns the errors of a change that no field in `fields` shows.
pub(crate) fn beside(mutation: &Mutation, fields: &[&str]) -> Html {
    let text = mutation.failure.as_ref().and_then(|failure| failure.beside(fields));
    html! { if let Some(text) = text { <p class="problem" role="alert">{ text }</p> } }
}

/// Returns the error of a field.
pub(crate) fn wrong(mutation: &Mutation, field: &str) -> Option<String> {
    mutation.failure.as_ref().and_then(|failure| failure.of_field(field))
}

/// Returns the callback of a form's event, which keeps it from loading another page.
pub(crate) fn on_submit(then: impl Fn() + 'static) -> Callback<SubmitEvent> {
    Callback::from(move |event: SubmitEvent| {
        event.prevent_default();
        then();
    })
}

/// Returns the callback that sets a state to a value.
pub(crate) fn sets<T: Clone + PartialEq + 'static>(state: &UseStateHandle<T>, value: T) -> Callback<()> {
    let state = state.clone();
    Callback::from(move |()| state.set(value.clone()))
}

/// The URL of a registered thing.
pub(crate) fn registered(kind: &str, id: &str) -> String {
    format!("/api/v1/admin/{kind}/{}", crate::query::encode(id.trim()))
}

/// A list of texts out of a field.
pub(crate) fn listed(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Returns the callback that sets a state to `None`.
pub(crate) fn sets_none<T: 'static>(state: &UseStateHandle<Option<T>>) -> Callback<()> {
    let state = state.setter();
    Callback::from(move |()| state.set(None))
}

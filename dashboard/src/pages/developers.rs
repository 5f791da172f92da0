//! `/developers`: the operations of the API that the viewer's role may call, out of the server's own OpenAPI document,
//! with an example of each group; for administrators the last deliveries to webhooks.

mod catalogue;
mod deliveries;

use yew::prelude::*;

use self::{
    catalogue::{Document, Group, count, example, found},
    deliveries::Deliveries,
};
use super::{NEW, Sheet, command::origin, id, on_submit};
use crate::{
    access::use_access,
    api::Role,
    ask::use_query,
    download,
    frame::View,
    kit::{Column, Empty, Field, Loaded, Problem, Secret, Table, use_field, use_toast},
    query::Query,
    route::Route,
    router::{Link, Place, use_router},
    words,
};

const DOCUMENT: &str = "/api/v1/openapi.json";
const SCHEMA: &str = "/api/v1/graphql/schema";

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// The page.
#[component]
pub fn Developers(props: &Props) -> Html {
    let (access, router, toast) = (use_access(), use_router(), use_toast());
    let document = use_query::<Document>(Some(DOCUMENT.to_owned()));
    let origin = use_memo((), |()| origin());
    let role = access.role();
    let groups = document.data.as_ref().map(|document| document.groups(role)).unwrap_or_default();
    let search = props.view.place.query.search.clone();
    let shown = found(&groups, &search);
    // As it is typed: the address has no space at the end.
    let (typed, ontyped) = use_field(&search);
    {
        // Another address, or the way back.
        let (typed, ontyped) = (typed.clone(), ontyped.clone());
        use_effect_with(search.clone(), move |search| {
            if typed.trim() != *search {
                ontyped.emit(search.clone());
            }
        });
    }
    let oninput = {
        let (router, place) = (router.clone(), props.view.place.clone());
        Callback::from(move |search: String| {
            ontyped.emit(search.clone());
            // Without an entry in the browser's history for each letter.
            let mut to = place.clone();
            to.query.search = search;
            router.replace(to);
        })
    };
    let onschema = {
        let (credential, toast) = (access.credential.clone(), toast.clone());
        Callback::from(move |_: MouseEvent| {
            download::start(SCHEMA.to_owned(), "clickwire.graphql".to_owned(), &credential, &toast);
        })
    };
    let actions = html! {
        <>
            <a class="quiet" href={DOCUMENT} download="clickwire-openapi.json">{ words::DOWNLOAD_OPENAPI }</a>
            <button type="button" class="quiet" onclick={onschema}>{ words::DOWNLOAD_GRAPHQL }</button>
        </>
    };
    html! {
        <Sheet title={words::DEVELOPERS} {actions}>
            <p class="soft lead">{ words::DEVELOPERS_LEAD }</p>
            if let Some(failure) = document.failure.clone() {
                <Problem {failure} onretry={document.reload.clone()} />
            }
            <form class="toolbar" role="search" onsubmit={on_submit(|| ())}>
                <Field id="find-operation" label={words::FIND_OPERATION} kind="search" value={typed} {oninput} hint={words::FIND_OPERATION_HINT} />
                if document.data.is_some() {
                    <p class="soft" role="status">{ words::operations_found(count(&shown), count(&groups)) }</p>
                }
            </form>
            if shown.is_empty() {
                <Table caption={words::OPERATIONS} columns={columns()} rows={0} row={Callback::from(|_| vec![])} loaded={document.loaded()}
                    empty={html! { <Empty title={words::NO_OPERATIONS} /> }} />
            }
            // A list of its own: in one with the form, whose length changes, the form would be made anew.
            <>{ for shown.into_iter().map(|shown| {
                // The example is of the whole group, whatever is searched.
                let whole = groups.iter().find(|group| group.tag == shown.tag);
                let example = whole.and_then(|group| example(group, &origin));
                group(shown, example, role, &props.view.place.query)
            }) }</>
            if role == Role::Admin {
                <Deliveries view={props.view.clone()} />
            }
        </Sheet>
    }
}

fn columns() -> Vec<Column> {
    [words::METHOD, words::PATH, words::SUMMARY].map(Column::text).to_vec()
}

/// The link to the page that creates a group's credential, a note, or nothing.
fn way(tag: &str, role: Role, query: &Query) -> Html {
    let at = |route| Place::new(route, Query { part: Some(NEW.to_owned()), ..query.carried() });
    match tag {
        "poster" if role == Role::Admin => {
            html! { <Link to={at(Route::Keys)}>{ words::TO_KEYS }</Link> }
        }
        "poster" => html! { words::ASK_FOR_KEY },
        "account" | "anybody" => html! {},
        _ => html! { <Link to={at(Route::Account)}>{ words::TO_TOKENS }</Link> },
    }
}

fn group(group: Group, example: Option<String>, role: Role, query: &Query) -> Html {
    let title = words::operations_of(&group.tag);
    let (count, operations) = (group.operations.len(), group.operations);
    let row = Callback::from(move |index: usize| {
        let operation = &operations[index];
        vec![
            html! { <span class="method">{ operation.method }</span> },
            id(&operation.path),
            html! { &operation.summary },
        ]
    });
    html! {
        <div class="part" key={group.tag.clone()} data-testid={format!("operations-{}", group.tag)}>
            <h2>{ title.clone() }</h2>
            <p class="soft links">{ words::opened_by(&group.tag) }{ way(&group.tag, role, query) }</p>
            if let Some(example) = example {
                <Secret text={example} what={words::EXAMPLE} />
            }
            <Table caption={title} columns={columns()} rows={count} {row} loaded={Loaded::Yes} />
        </div>
    }
}

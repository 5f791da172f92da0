//! The root: who is there, then the page, kept up to date by a [`Connection`].

use std::rc::Rc;

use clickwire_protocol::live::close;
use gloo_events::EventListener;
use yew::prelude::*;

use crate::{
    clock,
    connection::Connection,
    model::{Model, Status},
    page::Page,
    session::Event,
    sign_in::SignIn,
    stack::Stack,
    token,
};

const REFUSED: &str = "That token was not accepted. It may have been mistyped or withdrawn.";

/// The application.
#[component]
pub fn App() -> Html {
    let token = use_state_eq(token::find);
    let message = use_state_eq(|| None::<AttrValue>);
    {
        // Another link, opened in this same tab.
        let (token, message) = (token.clone(), message.clone());
        use_effect_with((), move |()| {
            let listener = web_sys::window().map(|window| {
                EventListener::new(&window, "hashchange", move |_| {
                    message.set(None);
                    token.set(token::find());
                })
            });
            move || drop(listener)
        });
    }
    let onleave = {
        let (token, message) = (token.clone(), message.clone());
        Callback::from(move |why: Option<AttrValue>| {
            token::forget();
            message.set(why);
            token.set(None);
        })
    };
    let onsubmit = {
        let (token, message) = (token.clone(), message.clone());
        Callback::from(move |given: String| {
            token::keep(&given);
            message.set(None);
            token.set(Some(given));
        })
    };
    match &*token {
        Some(token) => html! { <Live key={token.clone()} token={token.clone()} {onleave} /> },
        None => html! { <SignIn message={(*message).clone()} {onsubmit} /> },
    }
}

#[derive(Clone, PartialEq, Properties)]
struct LiveProps {
    token: String,
    onleave: Callback<Option<AttrValue>>,
}

/// The page with a connection behind it.
#[component]
fn Live(props: &LiveProps) -> Html {
    let version = use_state_eq(|| 0_u64);
    let colours = use_state_eq(|| 0_u32);
    let connection = use_state(|| None::<Rc<Connection>>);
    {
        let (connection, version) = (connection.clone(), version.clone());
        use_effect_with(props.token.clone(), move |token| {
            let changed = Callback::from(move |now| version.set(now));
            let started = Connection::start(Model::new(token.clone()), changed);
            connection.set(Some(started.clone()));
            move || started.stop()
        });
    }
    let unauthorised = (*connection).as_ref().is_some_and(|connection| {
        connection.model().borrow().status(0) == Status::Refused(close::UNAUTHORIZED)
    });
    {
        let onleave = props.onleave.clone();
        use_effect_with(unauthorised, move |&unauthorised| {
            if unauthorised {
                onleave.emit(Some(REFUSED.into()));
            }
        });
    }
    let Some(connection) = (*connection).clone() else {
        return html! {};
    };
    let tell = |connection: &Rc<Connection>| {
        let connection = connection.clone();
        Callback::from(move |event: Event| connection.dispatch(event))
    };
    let now_ms = connection.now_ms();
    let mut model = connection.model().borrow_mut();
    let overview = model.overview(now_ms);
    let stack = Stack::new(&overview, &model.palette);
    let notice = model.session.complaint.clone().or_else(|| {
        let needed = model.advertisers_missing && model.session.advertiser_id.is_none();
        needed.then(|| "The list of advertisers could not be loaded; trying again.".to_owned())
    });
    let ids = if model.session.advertisers.is_empty() {
        model.advertisers.keys().cloned().collect()
    } else {
        model.session.advertisers.clone()
    };
    let named = |id: String| (id.clone(), model.advertisers.get(&id).cloned().unwrap_or(id));
    html! {
        <Page overview={Rc::new(overview)} stack={Rc::new(stack)} palette={model.palette.clone()} status={model.status(now_ms)}
            age_ms={model.session.heard_ms.map(|heard_ms| now_ms - heard_ms)} loading={!model.session.settled}
            advertisers={ids.into_iter().map(named).collect::<Vec<_>>()} advertiser_id={model.session.advertiser_id.clone()}
            campaigns={model.campaigns.clone()} window_minutes={model.session.window_minutes}
            zone_offset_minutes={clock::zone_offset_minutes()} notice={notice.map(AttrValue::from)} colours={*colours}
            onadvertiser={tell(&connection).reform(Event::ChooseAdvertiser)} onwindow={tell(&connection).reform(Event::ChooseWindow)}
            onreconnect={tell(&connection).reform(|()| Event::Start)} onleave={props.onleave.reform(|()| None)}
            ontheme={Callback::from(move |_| colours.set(*colours + 1))} />
    }
}

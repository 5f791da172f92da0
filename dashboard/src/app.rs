//! The root: who is there, then the page, kept up to date by a [`Connection`].

use std::{cell::Cell, rc::Rc};

use clickwire_protocol::{ids::AdvertiserId, live::close};
use gloo_events::EventListener;
use gloo_timers::future::TimeoutFuture;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::{
    account::{self, Credential},
    backoff,
    bundles::Pages,
    clock,
    connection::Connection,
    directory::Names,
    frame::{DataStatus, Frame},
    language,
    model::{Model, Status},
    page::Page,
    preferences,
    router::Routing,
    session::Event,
    sign_in::{Attempt, SignIn},
    status::Pill,
    token, words,
    zone::Zone,
};

/// The shortest wait before a server that can't tell who is signed in is asked again, in milliseconds.
const ASK_AGAIN_MS: u32 = 1_000;

/// The shortest time between two messages about changes where data is saved, in milliseconds.
const SAVING_INTERVAL_MS: u32 = 1_000;

/// The viewer in front of the page.
#[derive(Clone, PartialEq)]
enum Viewer {
    /// The server is asked whether somebody is signed in.
    Unknown,
    /// No viewer is signed in.
    Nobody { message: Option<AttrValue>, busy: bool },
    /// The server can't tell now who is signed in; it is asked again.
    Waiting,
    /// The viewer has this credential.
    Somebody(Credential),
}

impl Viewer {
    fn nobody(message: Option<&'static str>) -> Self {
        Self::Nobody { message: message.map(AttrValue::from), busy: false }
    }
}

/// Numbers of searches for the viewer, sign-ins and sign-outs among them: the latest alone has an effect.
#[derive(Clone, Default)]
struct Searches(Rc<Cell<u32>>);

impl Searches {
    /// Ends the search that is under way, if any.
    fn end(&self) {
        self.0.set(self.0.get().wrapping_add(1));
    }

    /// Begins a search. Returns a function that tells whether it is still the latest.
    fn begin(&self) -> impl Fn() -> bool + use<> {
        self.end();
        let (latest, own) = (self.0.clone(), self.0.get());
        move || latest.get() == own
    }
}

/// Finds the viewer: by a token in the address or in this tab's memory, or else by the browser's session. A server that
/// is away or busy does not say who it is: a screen on a wall, where nobody signs in, waits for it.
fn find(viewer: UseStateHandle<Viewer>, searches: &Searches) {
    let is_latest = searches.begin();
    match token::find() {
        Some(token) => viewer.set(Viewer::Somebody(Credential::Token(token))),
        None => spawn_local(async move {
            loop {
                let answer = account::show().await;
                if !is_latest() {
                    return;
                }
                match answer {
                    account::Answer::Somebody => return viewer.set(Viewer::Somebody(Credential::Cookie)),
                    account::Answer::Away | account::Answer::TooOften => viewer.set(Viewer::Waiting),
                    other => return viewer.set(Viewer::nobody(other.message())),
                }
                TimeoutFuture::new(ASK_AGAIN_MS + backoff::delay_ms(2, js_sys::Math::random())).await;
                if !is_latest() {
                    return;
                }
            }
        }),
    }
}

/// Starts a program in the document's `#app`.
pub fn start(pages: Pages) {
    language::start();
    let root = web_sys::window()
        .and_then(|window| window.document())
        .and_then(|document| document.get_element_by_id("app"));
    if let Some(root) = root {
        // What stands there until the page is loaded.
        root.set_inner_html("");
        yew::Renderer::<App>::with_root_and_props(root, AppProps { pages: Program(pages) }).render();
    }
}

/// The pages of this program, which are the same for as long as it runs.
#[derive(Clone, Copy)]
pub struct Program(pub Pages);

impl PartialEq for Program {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Properties of the application.
#[derive(Clone, PartialEq, Properties)]
pub struct AppProps {
    /// Its pages.
    pub pages: Program,
}

/// The application.
#[component]
pub fn App(props: &AppProps) -> Html {
    let viewer = use_state_eq(|| Viewer::Unknown);
    let searches = use_memo((), |()| Searches::default());
    {
        let (viewer, searches) = (viewer.clone(), searches.clone());
        use_effect_with((), move |()| {
            find(viewer.clone(), &searches);
            // Another link, opened in this same tab. The page's own anchors change the fragment, too.
            let listener = web_sys::window().map(|window| {
                EventListener::new(&window, "hashchange", move |_| {
                    if token::is_in_address() {
                        find(viewer.clone(), &searches);
                    }
                })
            });
            move || drop(listener)
        });
    }
    let onleave = {
        let (viewer, searches) = (viewer.clone(), searches.clone());
        Callback::from(move |(credential, is_refused): (Credential, bool)| {
            searches.end();
            token::forget();
            let message = match (&credential, is_refused) {
                (_, false) => None,
                (Credential::Token(_), true) => Some(words::TOKEN_REFUSED.get()),
                (Credential::Cookie, true) => Some(words::YOU_WERE_SIGNED_OUT.get()),
            };
            viewer.set(Viewer::nobody(message));
            match (credential, is_refused) {
                (Credential::Cookie, false) => spawn_local(account::sign_out()),
                (Credential::Cookie, true) => account::forget(),
                (Credential::Token(_), _) => {}
            }
        })
    };
    let onsubmit = {
        let viewer = viewer.clone();
        Callback::from(move |attempt: Attempt| match attempt {
            Attempt::Token(token) => {
                searches.end();
                token::keep(&token);
                viewer.set(Viewer::Somebody(Credential::Token(token)));
            }
            Attempt::Password { login, password } => {
                viewer.set(Viewer::Nobody { message: None, busy: true });
                let (viewer, is_latest) = (viewer.clone(), searches.begin());
                spawn_local(async move {
                    let answer = account::sign_in(&login, &password).await;
                    if !is_latest() {
                        return;
                    }
                    viewer.set(match answer {
                        account::Answer::Somebody => Viewer::Somebody(Credential::Cookie),
                        other => Viewer::nobody(other.message()),
                    });
                });
            }
        })
    };
    match &*viewer {
        Viewer::Unknown => html! {},
        Viewer::Waiting => html! {
            <p class="splash" role="status">{ words::SERVER_SILENT }</p>
        },
        Viewer::Nobody { message, busy } => {
            html! { <SignIn message={message.clone()} busy={*busy} {onsubmit} /> }
        }
        Viewer::Somebody(credential) => {
            let key = credential.token().unwrap_or_default().to_owned();
            html! { <Routing><Frame {key} pages={props.pages} credential={credential.clone()} {onleave} /></Routing> }
        }
    }
}

/// Properties of the page of live numbers.
#[derive(Clone, PartialEq, Properties)]
pub struct LiveProps {
    /// Credential for the gateway.
    pub credential: Credential,
    /// The advertiser whose clicks are shown; `None`: the first.
    pub advertiser_id: Option<AdvertiserId>,
    /// The window.
    pub window_minutes: u32,
    /// The time zone.
    pub zone: Zone,
    /// Changes when colours do.
    pub colours: u32,
    /// Hears who leaves, and whether because the server wants it.
    pub onleave: Callback<(Credential, bool)>,
}

/// The page with a connection behind it.
#[component]
pub fn Live(props: &LiveProps) -> Html {
    let version = use_state_eq(|| 0_u64);
    let connection = use_state(|| None::<Rc<Connection>>);
    {
        let (connection, version) = (connection.clone(), version.clone());
        let (advertiser_id, window_minutes) = (props.advertiser_id.clone(), props.window_minutes);
        use_effect_with(props.credential.clone(), move |credential| {
            let changed = Callback::from(move |now| version.set(now));
            let mut model = Model::new(credential.clone());
            model.session.min_interval_ms = preferences::saves_data().then_some(SAVING_INTERVAL_MS);
            model.session.advertiser_id = advertiser_id;
            model.session.window_minutes = window_minutes;
            let started = Connection::start(model, changed);
            connection.set(Some(started.clone()));
            move || started.stop()
        });
    }
    {
        let connection = connection.clone();
        let wanted = (props.advertiser_id.clone(), props.window_minutes, connection.is_some());
        use_effect_with(wanted, move |(advertiser_id, window_minutes, _)| {
            let Some(connection) = &*connection else { return };
            let watched = {
                let model = connection.model().borrow();
                (model.session.advertiser_id.clone(), model.session.window_minutes)
            };
            if let Some(wanted) = advertiser_id.clone().filter(|wanted| watched.0.as_ref() != Some(wanted)) {
                connection.dispatch(Event::ChooseAdvertiser(wanted));
            }
            if watched.1 != *window_minutes {
                connection.dispatch(Event::ChooseWindow(*window_minutes));
            }
        });
    }
    let unauthorised = (*connection).as_ref().is_some_and(|connection| {
        connection.model().borrow().status(0) == Status::Refused(close::UNAUTHORIZED)
    });
    {
        let (onleave, credential) = (props.onleave.clone(), props.credential.clone());
        use_effect_with(unauthorised, move |&unauthorised| {
            if unauthorised {
                onleave.emit((credential, true));
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
    let now_ms = clock::now_ms();
    let model = connection.model().borrow();
    let overview = model.overview(now_ms);
    let notice = model.session.complaint.clone().or_else(|| {
        let needed = model.advertisers_missing && model.session.advertiser_id.is_none();
        needed.then(|| words::ADVERTISERS_MISSING.into())
    });
    let advertisers = if model.session.advertisers.is_empty() {
        Rc::clone(&model.advertisers)
    } else {
        let name = |id: &AdvertiserId| model.advertisers.get(id).cloned().unwrap_or_else(|| id.to_string());
        Rc::new(model.session.advertisers.iter().map(|id| (id.clone(), name(id))).collect::<Names<_>>())
    };
    let status = model.status(now_ms);
    let edge_ms = model.session.settled.then_some(overview.edge_ms);
    let onreconnect = tell(&connection).reform(|()| Event::Start);
    html! {
        <>
            <DataStatus><Pill {status} {edge_ms} zone={props.zone.clone()} onconnect={onreconnect.clone()} /></DataStatus>
            <Page overview={Rc::new(overview)} final_before={model.session.freshness.final_before()}
                fraud_rate={model.settings.as_ref().and_then(|settings| settings.fraud_rate)}
                {status} loading={!model.session.settled}
                {advertisers} advertiser_id={model.session.advertiser_id.clone()}
                campaigns={model.campaigns.clone()} window_minutes={model.session.window_minutes}
                notice={notice.map(AttrValue::from)} zone={props.zone.clone()} colours={props.colours} {onreconnect} />
        </>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_for_the_viewer_ends_with_the_next_one() {
        let searches = Searches::default();
        let first = searches.begin();
        assert!(first());
        let second = searches.begin();
        assert!(!first() && second());
        searches.end();
        assert!(!second());
    }
}

//! Carries out in the browser what a [`Session`](crate::session::Session) wants: socket, timers, lists. Says at most once an
//! animation frame that the model changed.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use clickwire_protocol::{
    ids::AdvertiserId,
    live::{ClientMessage, SUBPROTOCOL, ServerMessage},
    times::Minute,
};
use gloo_events::EventListener;
use gloo_render::{AnimationFrame, request_animation_frame};
use gloo_timers::callback::{Interval, Timeout};
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::spawn_local;
use web_sys::{CloseEvent, MessageEvent, VisibilityState, WebSocket};
use yew::Callback;

use crate::{
    clock, directory,
    http::Asking,
    model::{Model, Status},
    session::{Effect, Event, Timer},
};

/// The interval at which parts that depend on the time alone are drawn again, in milliseconds.
const TICK_MS: u32 = 1_000;

/// The interval at which it is checked whether the status on the screen is still right, in milliseconds.
const LOOK_MS: u32 = 250;

/// The interval at which an open page asks for its deployment's settings, in milliseconds.
const SETTINGS_EVERY_MS: u32 = 60_000;

/// The wait before a list of names that failed is asked for again, in milliseconds.
const LIST_AGAIN_MS: u32 = 5_000;

/// A socket that closes by itself when dropped; its events end with it.
struct Socket {
    socket: WebSocket,
    _listeners: [EventListener; 3],
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Closing what is closed already is no error; there is no other.
        self.socket.close().ok();
    }
}

/// The page's connection to its gateway.
pub struct Connection {
    model: RefCell<Model>,
    socket: RefCell<Option<Socket>>,
    stream: RefCell<Option<Asking>>,
    timers: RefCell<HashMap<Timer, Timeout>>,
    list_again: RefCell<Option<Timeout>>,
    campaigns_again: RefCell<Option<Timeout>>,
    frame: RefCell<Option<AnimationFrame>>,
    version: Cell<u64>,
    /// Status of the numbers as it is on the screen.
    shown: Cell<Status>,
    changed: Callback<u64>,
    watches: RefCell<Option<(Vec<EventListener>, Vec<Interval>)>>,
}

impl Connection {
    /// Connects. `changed` hears the model's version, at most once a frame.
    pub fn start(model: Model, changed: Callback<u64>) -> Rc<Self> {
        let connection = Rc::new(Self {
            model: RefCell::new(model),
            socket: RefCell::default(),
            stream: RefCell::default(),
            timers: RefCell::default(),
            list_again: RefCell::default(),
            campaigns_again: RefCell::default(),
            frame: RefCell::default(),
            version: Cell::new(0),
            shown: Cell::new(Status::Connecting),
            changed,
            watches: RefCell::default(),
        });
        connection.watch_browser();
        connection.dispatch(Event::Start);
        connection.ask_settings();
        connection
    }

    /// The model, to be read or drawn from.
    pub fn model(&self) -> &RefCell<Model> {
        &self.model
    }

    /// Ends everything. Without it the listeners keep the connection alive.
    pub fn stop(&self) {
        self.watches.take();
        self.socket.take();
        self.stream.take();
        self.timers.take();
        self.list_again.take();
        self.campaigns_again.take();
        self.frame.take();
    }

    /// Hands an event to the session and carries out what it wants.
    pub fn dispatch(self: &Rc<Self>, event: Event) {
        if self.watches.borrow().is_none() {
            return; // stopped meanwhile
        }
        let effects = self.model.borrow_mut().session.take(event, clock::now_ms(), js_sys::Math::random());
        for effect in effects {
            self.carry_out(effect);
        }
        self.touch();
    }

    fn carry_out(self: &Rc<Self>, effect: Effect) {
        match effect {
            Effect::Open => self.open(),
            Effect::Close => drop(self.socket.take()),
            Effect::Send(message) => self.send(&message),
            Effect::Set(timer, after_ms) => {
                let this = self.clone();
                let timeout = Timeout::new(after_ms, move || this.dispatch(Event::Fired(timer)));
                self.timers.borrow_mut().insert(timer, timeout);
            }
            Effect::Stop(timer) => drop(self.timers.borrow_mut().remove(&timer)),
            Effect::Poll { number, view, since } => {
                let (this, credential) = (self.clone(), self.model.borrow().session.credential().clone());
                spawn_local(async move {
                    let polled = directory::poll(&view, since.as_ref(), &credential).await;
                    this.dispatch(Event::Polled(number, polled));
                });
            }
            Effect::Stream { number, view, min_interval_ms } => {
                let (this, credential) = (self.clone(), self.model.borrow().session.credential().clone());
                let tell = move |streamed| this.dispatch(Event::Streamed(number, streamed));
                let stream = directory::stream(&view, min_interval_ms, &credential, tell);
                drop(self.stream.replace(Some(stream)));
            }
            Effect::EndStream => drop(self.stream.take()),
            Effect::ListAdvertisers => self.list_advertisers(),
            Effect::ListCampaigns(advertiser_id) => self.list_campaigns(advertiser_id),
            Effect::AskPast { advertiser_id, from, to } => self.ask_past(advertiser_id, from, to),
        }
    }

    fn open(self: &Rc<Self>) {
        drop(self.socket.take());
        let Some(socket) = address().and_then(|url| WebSocket::new_with_str(&url, SUBPROTOCOL).ok()) else {
            return; // the handshake's timer ends it
        };
        let this = self.clone();
        let opened = EventListener::new(&socket, "open", move |_| this.dispatch(Event::Opened));
        let this = self.clone();
        let received = EventListener::new(&socket, "message", move |event| {
            let text = event.dyn_ref::<MessageEvent>().and_then(|event| event.data().as_string());
            // A message of a later version of the protocol is none of ours.
            if let Some(message) = text.and_then(|text| serde_json::from_str::<ServerMessage>(&text).ok()) {
                this.dispatch(Event::Received(message));
            }
        });
        let this = self.clone();
        let closed = EventListener::new(&socket, "close", move |event| {
            let event = event.dyn_ref::<CloseEvent>();
            let (code, reason) = event.map_or((1006, String::new()), |event| (event.code(), event.reason()));
            this.dispatch(Event::Closed { code, reason });
        });
        self.socket.replace(Some(Socket { socket, _listeners: [opened, received, closed] }));
    }

    fn send(&self, message: &ClientMessage) {
        if let Some(Socket { socket, .. }) = &*self.socket.borrow()
            && let Ok(text) = serde_json::to_string(message)
        {
            // It fails only on a socket whose close event is on its way.
            socket.send_with_str(&text).ok();
        }
    }

    fn list_advertisers(self: &Rc<Self>) {
        let (this, credential) = (self.clone(), self.model.borrow().session.credential().clone());
        spawn_local(async move {
            let answer = directory::advertisers(&credential).await;
            let mut model = this.model.borrow_mut();
            model.advertisers_missing = answer.is_none();
            let Some(answer) = answer else {
                drop(model);
                if this.watches.borrow().is_none() {
                    return; // stopped meanwhile
                }
                let again = this.clone();
                let timeout = Timeout::new(LIST_AGAIN_MS, move || again.list_advertisers());
                this.list_again.replace(Some(timeout));
                return this.touch();
            };
            if let Some(ahead_ms) = answer.ahead_ms {
                model.session.freshness.guess_ahead(ahead_ms);
            }
            let first = answer.names.keys().next().cloned();
            let choose = first.filter(|_| model.session.advertiser_id.is_none());
            model.advertisers = Rc::new(answer.names);
            drop(model);
            match choose {
                Some(first) => this.dispatch(Event::ChooseAdvertiser(first)),
                None => this.touch(),
            }
        });
    }

    /// Asks for the deployment's settings. After a failure they are asked for at the next interval: numbers are shown
    /// without them.
    fn ask_settings(self: &Rc<Self>) {
        let (this, credential) = (self.clone(), self.model.borrow().session.credential().clone());
        spawn_local(async move {
            if let Some(settings) = directory::settings(&credential).await {
                this.model.borrow_mut().settings = Some(settings);
                this.touch();
            }
        });
    }

    fn list_campaigns(self: &Rc<Self>, advertiser_id: AdvertiserId) {
        let (this, credential) = (self.clone(), self.model.borrow().session.credential().clone());
        // A retry of an older question is not needed any more.
        self.campaigns_again.take();
        spawn_local(async move {
            let answer = directory::campaigns(&advertiser_id, &credential).await;
            if this.watches.borrow().is_none() {
                return; // stopped meanwhile
            }
            let names = answer.map(|answer| answer.names);
            if this.model.borrow_mut().learn_campaigns(&advertiser_id, names) {
                let again = this.clone();
                let timeout = Timeout::new(LIST_AGAIN_MS, move || again.list_campaigns(advertiser_id));
                this.campaigns_again.replace(Some(timeout));
            }
            this.touch();
        });
    }

    /// Asks for the counts of the period before. A failure costs the comparison alone.
    fn ask_past(self: &Rc<Self>, advertiser_id: AdvertiserId, from: Minute, to: Minute) {
        let (this, credential) = (self.clone(), self.model.borrow().session.credential().clone());
        spawn_local(async move {
            let Some(totals) = directory::past(&advertiser_id, from, to, &credential).await else { return };
            let mut model = this.model.borrow_mut();
            if model.session.advertiser_id.as_ref() == Some(&advertiser_id) {
                model.session.board.learn_past(from, &totals);
            }
            drop(model);
            this.touch();
        });
    }

    /// Reports in the next frame that the model changed. A hidden page has no frames, and needs none.
    fn touch(self: &Rc<Self>) {
        if self.watches.borrow().is_none() {
            return; // stopped meanwhile
        }
        self.version.set(self.version.get() + 1);
        if self.frame.borrow().is_none() {
            let this = self.clone();
            let frame = request_animation_frame(move |_| {
                this.frame.take();
                this.shown.set(this.model.borrow().status(clock::now_ms()));
                this.changed.emit(this.version.get());
            });
            self.frame.replace(Some(frame));
        }
    }

    /// Keeps the numbers for a page that is opened without a server.
    fn keep(&self) {
        let model = self.model.borrow();
        if let Some((view, state)) = model.session.to_keep() {
            directory::keep(&view, &state, model.session.credential());
        }
    }

    fn watch_browser(self: &Rc<Self>) {
        let Some((window, document)) = web_sys::window().and_then(|w| Some((w.clone(), w.document()?)))
        else {
            return;
        };
        self.model.borrow_mut().online = window.navigator().on_line();
        let (on, off, visible, tick) = (self.clone(), self.clone(), self.clone(), self.clone());
        let online = EventListener::new(&window, "online", move |_| {
            on.model.borrow_mut().online = true;
            on.dispatch(Event::Woken);
        });
        let offline = EventListener::new(&window, "offline", move |_| {
            off.model.borrow_mut().online = false;
            // Whether the gateway is still there is for the socket to say: it may be on this machine.
            off.dispatch(Event::Woken);
        });
        let page = document.clone();
        let visibility = EventListener::new(&document, "visibilitychange", move |_| {
            if page.visibility_state() == VisibilityState::Visible {
                visible.dispatch(Event::Woken);
            } else {
                visible.keep();
            }
        });
        let leaves = self.clone();
        let leaving = EventListener::new(&window, "pagehide", move |_| leaves.keep());
        let (asks, looks) = (self.clone(), self.clone());
        let intervals = vec![
            Interval::new(TICK_MS, move || tick.touch()),
            Interval::new(LOOK_MS, move || {
                if looks.model.borrow().status(clock::now_ms()) != looks.shown.get() {
                    looks.touch();
                }
            }),
            Interval::new(SETTINGS_EVERY_MS, move || asks.ask_settings()),
        ];
        self.watches.replace(Some((vec![online, offline, visibility, leaving], intervals)));
    }
}

/// Returns the gateway's address, which is on the page's own host.
pub(crate) fn address() -> Option<String> {
    let location = web_sys::window()?.location();
    let scheme = if location.protocol().ok()? == "https:" { "wss" } else { "ws" };
    Some(format!("{scheme}://{}/api/v1/live", location.host().ok()?))
}

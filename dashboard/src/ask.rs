//! Hooks of the API: [`use_query`] keeps an answer up to date with its question, [`use_mutation`] changes
//! something. Both end with their component.

use std::rc::Rc;

use gloo_timers::callback::Interval;
use serde::de::DeserializeOwned;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::{
    access::use_access,
    http::{self, Failure, Request},
    kit::Loaded,
};

/// An answer as far as it is there.
pub struct Answer<T> {
    /// The latest answer to this question.
    pub data: Option<Rc<T>>,
    /// The latest answer to the question before, to be shown until there is an answer to this one.
    pub stale: Option<Rc<T>>,
    /// Reason why there is no newer answer.
    pub failure: Option<Failure>,
    /// The question is being asked.
    pub is_loading: bool,
    /// Asks again.
    pub reload: Callback<()>,
}

impl<T> Answer<T> {
    /// Returns the data to show: the answer, or that to the question before as long as there is none.
    pub fn shown(&self) -> Option<Rc<T>> {
        self.data.clone().or_else(|| self.stale.clone())
    }

    /// Returns the answer's loading state, for a table of it.
    pub fn loaded(&self) -> Loaded {
        loaded(self.data.is_some(), self.is_loading, self.failure.is_some())
    }
}

fn loaded(is_there: bool, is_loading: bool, has_failed: bool) -> Loaded {
    match (is_there, is_loading, has_failed) {
        (true, _, _) | (false, false, false) => Loaded::Yes,
        (false, true, _) => Loaded::NotYet,
        (false, false, true) => Loaded::Failed,
    }
}

impl<T> Clone for Answer<T> {
    fn clone(&self) -> Self {
        Self {
            data: self.data.clone(),
            stale: self.stale.clone(),
            failure: self.failure.clone(),
            is_loading: self.is_loading,
            reload: self.reload.clone(),
        }
    }
}

/// The state of a question: its latest answer or failure.
struct Held<T> {
    url: Option<String>,
    data: Option<Rc<T>>,
    stale: Option<Rc<T>>,
    failure: Option<Failure>,
    is_loading: bool,
}

enum Step<T> {
    Asked(Option<String>),
    Answered(Result<T, Failure>),
}

impl<T> Reducible for Held<T> {
    type Action = Step<T>;

    fn reduce(self: Rc<Self>, step: Step<T>) -> Rc<Self> {
        let Self { url, data, stale, .. } = &*self;
        let (same, data, stale) = (url.clone(), data.clone(), stale.clone());
        Rc::new(match step {
            Step::Asked(url) if url == same => {
                Self { is_loading: url.is_some(), url, data, stale, failure: None }
            }
            // The answer to another question is none to this one.
            Step::Asked(url) => {
                Self { is_loading: url.is_some(), url, data: None, stale: data.or(stale), failure: None }
            }
            Step::Answered(Ok(data)) => {
                Self { url: same, data: Some(Rc::new(data)), stale: None, failure: None, is_loading: false }
            }
            Step::Answered(Err(failure)) => {
                Self { url: same, data, stale, failure: Some(failure), is_loading: false }
            }
        })
    }
}

/// The answer to a question, asked anew when it changes; `None`: nothing is asked.
#[hook]
pub fn use_query<T: DeserializeOwned + 'static>(url: Option<String>) -> Answer<T> {
    let access = use_access();
    let held =
        use_reducer(|| Held::<T> { url: None, data: None, stale: None, failure: None, is_loading: true });
    let round = use_state(|| 0_u32);
    {
        let dispatcher = held.dispatcher();
        use_effect_with((url.clone(), *round, access.round), move |(url, ..)| {
            dispatcher.dispatch(Step::Asked(url.clone()));
            let asking = url.clone().map(|url| {
                let then = Callback::from(move |answer: Result<String, Failure>| {
                    if answer == Err(Failure::SignedOut) {
                        access.onrefused.emit(());
                    }
                    dispatcher.dispatch(Step::Answered(answer.and_then(|text| http::read(&text))));
                });
                http::ask(Request::get(&url), &access.credential, then)
            });
            move || drop(asking)
        });
    }
    let reload = Callback::from(move |()| round.set(*round + 1));
    let is_present = held.url == url;
    let failure = held.failure.clone().filter(|_| is_present);
    Answer {
        data: held.data.clone().filter(|_| is_present),
        // Where there will be no answer, another question's is not to stand in its place.
        stale: held
            .stale
            .clone()
            .or_else(|| held.data.clone())
            .filter(|_| held.url.is_some() && failure.is_none()),
        failure,
        is_loading: held.is_loading || !is_present,
        reload,
    }
}

/// A change that a component can make, with its state.
#[derive(Clone, PartialEq)]
pub struct Mutation {
    /// A change is under way.
    pub is_busy: bool,
    /// Reason why the last change was not done.
    pub failure: Option<Failure>,
    state: UseStateHandle<(bool, Option<Failure>)>,
    is_there: Rc<std::cell::Cell<bool>>,
    access: crate::access::Access,
}

impl Mutation {
    /// Sends a change and tells `then` the answer's text. Nothing is sent twice at once.
    pub fn send(&self, request: Request, then: Callback<String>) {
        if self.is_busy {
            return;
        }
        self.state.set((true, None));
        let Self { state, is_there, access, .. } = self.clone();
        spawn_local(async move {
            let answer = http::answer(request, access.credential.clone()).await;
            if answer == Err(Failure::SignedOut) {
                access.onrefused.emit(());
            }
            if !is_there.get() {
                return;
            }
            state.set((false, answer.as_ref().err().cloned()));
            if let Ok(text) = answer {
                then.emit(text);
            }
        });
    }

    /// Sends a change and hands on what is answered.
    pub fn run<T: DeserializeOwned + 'static>(&self, request: Request, then: Callback<T>) {
        let state = self.state.clone();
        let read = Callback::from(move |text: String| match http::read(&text) {
            Ok(answer) => then.emit(answer),
            Err(failure) => state.set((false, Some(failure))),
        });
        self.send(request, read);
    }

    /// Forgets why the last one was not done.
    pub fn forget(&self) {
        self.state.set((false, None));
    }
}

/// A change that a component can make.
#[hook]
pub fn use_mutation() -> Mutation {
    let access = use_access();
    let state = use_state(|| (false, None));
    let is_there = use_memo((), |()| std::cell::Cell::new(true));
    {
        let is_there = is_there.clone();
        use_effect_with((), move |()| move || is_there.set(false));
    }
    Mutation { is_busy: state.0, failure: state.1.clone(), state, is_there, access }
}

/// Calls `then` every `every_ms` milliseconds, as long as the component is there; 0: never.
#[hook]
pub fn use_interval(every_ms: u32, then: Callback<()>) {
    let latest = use_mut_ref(|| then.clone());
    *latest.borrow_mut() = then;
    use_effect_with(every_ms, move |&every_ms| {
        let interval = (every_ms > 0).then(|| {
            Interval::new(every_ms, move || {
                let then = latest.borrow().clone();
                then.emit(());
            })
        });
        move || drop(interval)
    });
}

/// A list that comes in pages.
pub trait Paged: DeserializeOwned + 'static {
    /// Its rows.
    type Row: Clone + 'static;
    /// The parameter that names the page.
    const CURSOR: &'static str;

    /// The rows of this page.
    fn rows(&self) -> &[Self::Row];

    /// Returns the cursor of the next page; `None` after the last.
    fn next(&self) -> Option<String>;
}

impl<T: DeserializeOwned + Clone + 'static> Paged for crate::api::Page<T> {
    type Row = T;
    const CURSOR: &'static str = "after";

    fn rows(&self) -> &[T] {
        &self.data
    }

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

impl Paged for crate::api::Entries {
    type Row = crate::api::Entry;
    const CURSOR: &'static str = "before";

    fn rows(&self) -> &[Self::Row] {
        &self.data
    }

    fn next(&self) -> Option<String> {
        self.next.map(|next| next.to_string())
    }
}

impl Paged for clickwire_protocol::dead_letters::Page {
    type Row = clickwire_protocol::dead_letters::Summary;
    const CURSOR: &'static str = "after";

    fn rows(&self) -> &[Self::Row] {
        &self.data
    }

    fn next(&self) -> Option<String> {
        self.next.map(|next| next.to_string())
    }
}

impl Paged for clickwire_protocol::alerts::Page {
    type Row = clickwire_protocol::alerts::Alert;
    const CURSOR: &'static str = "before";

    fn rows(&self) -> &[Self::Row] {
        &self.data
    }

    fn next(&self) -> Option<String> {
        self.next.map(|next| next.to_string())
    }
}

/// The pages of a list that are there.
pub struct List<R> {
    /// Their rows.
    pub rows: Rc<Vec<R>>,
    /// Reason why there is no newer page.
    pub failure: Option<Failure>,
    /// A page is on its way.
    pub is_loading: bool,
    /// There is another page.
    pub has_more: bool,
    /// The first page holds the whole list, so that asking again loses no page.
    pub is_short: bool,
    /// Asks for the next page.
    pub more: Callback<()>,
    /// Asks for the list again, from its first page on.
    pub reload: Callback<()>,
}

impl<R> List<R> {
    /// Returns the list's loading state, for a table of it.
    pub fn loaded(&self) -> Loaded {
        loaded(!self.rows.is_empty(), self.is_loading, self.failure.is_some())
    }
}

/// The position in a list: the cursor of its next page, and the rows before it.
struct Begun<R> {
    url: Option<String>,
    cursor: Option<String>,
    before: Rc<Vec<R>>,
}

/// A list, page by page; `url` is without a cursor.
#[hook]
pub fn use_pages<P: Paged>(url: Option<String>) -> List<P::Row> {
    let begun = use_state(|| Begun::<P::Row> { url: None, cursor: None, before: Rc::default() });
    let (cursor, before) =
        if begun.url == url { (begun.cursor.clone(), begun.before.clone()) } else { (None, Rc::default()) };
    let page_url = url.clone().map(|url| match &cursor {
        Some(cursor) => {
            let separator = if url.contains('?') { '&' } else { '?' };
            format!("{url}{separator}{}={cursor}", P::CURSOR)
        }
        None => url,
    });
    let page = use_query::<P>(page_url);
    let rows: Rc<Vec<P::Row>> = match &page.data {
        Some(data) => Rc::new(before.iter().chain(data.rows()).cloned().collect()),
        None => before,
    };
    let next = page.data.as_ref().and_then(|data| data.next());
    let (has_more, is_first) = (next.is_some(), cursor.is_none());
    let more = {
        let (begun, rows, url) = (begun.setter(), rows.clone(), url.clone());
        Callback::from(move |()| {
            if next.is_some() {
                begun.set(Begun { url: url.clone(), cursor: next.clone(), before: rows.clone() });
            }
        })
    };
    let reload = {
        let (begun, again) = (begun.setter(), page.reload.clone());
        Callback::from(move |()| {
            if !is_first {
                begun.set(Begun { url: None, cursor: None, before: Rc::default() });
            }
            again.emit(());
        })
    };
    let is_short = is_first && !has_more;
    List { rows, failure: page.failure, is_loading: page.is_loading, has_more, is_short, more, reload }
}

/// Asks for a list's pages, one after the other, until what is looked for is in them.
#[hook]
pub fn use_until<R>(list: &List<R>, is_found: bool) {
    let asks = !is_found && list.has_more && !list.is_loading && list.failure.is_none();
    let more = list.more.clone();
    use_effect_with((asks, list.rows.len()), move |&(asks, _)| {
        if asks {
            more.emit(());
        }
    });
}

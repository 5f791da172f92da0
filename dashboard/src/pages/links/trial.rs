//! One test click on an ad: made, looked for until it is counted, shown with the target of its link.

use std::{cell::Cell, rc::Rc};

use clickwire_protocol::{
    ledger::FoundClick,
    registry::{ListedAd, TestClick},
};
use gloo_timers::future::TimeoutFuture;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::{
    access::use_access,
    account::Credential,
    api::Page,
    frame::View,
    http::{self, Failure, Method, Request},
    kit::{Copy, Problem},
    query::Query,
    route::Route,
    router::{Link, Place},
    words,
};

/// The pause between two requests for the click, in milliseconds.
const LOOK_MS: u32 = 500;

/// Requests for the click, at most: half a minute.
const LOOKS: u32 = 60;

/// The progress of a test click.
#[derive(Clone, Debug, PartialEq)]
enum Progress {
    /// The click is being made.
    Sending,
    /// The click could not be made.
    Failed(Failure),
    /// The click was accepted and is being looked for.
    Waiting(TestClick),
    /// The click was not found within the bound.
    Late(TestClick),
    /// The ledger has it, with this disposition.
    Counted(TestClick, String),
}

impl Progress {
    /// Returns the name for style sheets and tests.
    fn name(&self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Failed(_) => "failed",
            Self::Waiting(_) => "waiting",
            Self::Late(_) => "late",
            Self::Counted(..) => "counted",
        }
    }

    fn is_over(&self) -> bool {
        !matches!(self, Self::Sending | Self::Waiting(_))
    }

    fn click(&self) -> Option<&TestClick> {
        match self {
            Self::Sending | Self::Failed(_) => None,
            Self::Waiting(click) | Self::Late(click) | Self::Counted(click, _) => Some(click),
        }
    }
}

/// Returns the API's URL for the click.
fn url(click: &TestClick) -> String {
    let parameters = [
        ("click_id", Some(click.click_id.to_string())),
        ("advertiser_id", Some(click.advertiser_id.clone())),
    ];
    http::url("/api/v1/clicks", parameters)
}

async fn make(ad_id: &str, credential: Credential) -> Result<TestClick, Failure> {
    let url = format!("/api/v1/ads/{}/test-click", crate::query::encode(ad_id));
    http::read(&http::answer(Request::bare(Method::Post, &url), credential).await?)
}

/// The disposition of the click, if the ledger has it.
async fn find(click: &TestClick, credential: Credential) -> Result<Option<String>, Failure> {
    let answer = http::answer(Request::get(&url(click)), credential).await?;
    let page: Page<FoundClick> = http::read(&answer)?;
    Ok(page.data.into_iter().next().map(|found| found.disposition))
}

/// Makes a click and looks for it as long as `is_wanted` is set; `tell` hears the progress.
async fn go(ad_id: String, credential: Credential, is_wanted: Rc<Cell<bool>>, tell: impl Fn(Progress)) {
    let tell = |progress| {
        if is_wanted.get() {
            tell(progress);
        }
    };
    let click = match make(&ad_id, credential.clone()).await {
        Ok(click) => click,
        Err(failure) => return tell(Progress::Failed(failure)),
    };
    tell(Progress::Waiting(click.clone()));
    for _ in 0..LOOKS {
        TimeoutFuture::new(LOOK_MS).await;
        if !is_wanted.get() {
            return;
        }
        // What can't be asked now is asked again.
        if let Ok(Some(disposition)) = find(&click, credential.clone()).await {
            return tell(Progress::Counted(click, disposition));
        }
    }
    tell(Progress::Late(click));
}

#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The ad.
    pub(super) ad: ListedAd,
    /// The address.
    pub(super) view: View,
}

/// Makes one test click when it is opened, and one more for each press of the button.
#[component]
pub(super) fn Trial(props: &Props) -> Html {
    let access = use_access();
    let round = use_state_eq(|| 0_u32);
    let progress = use_state_eq(|| Progress::Sending);
    {
        let (progress, ad_id) = (progress.setter(), props.ad.ad_id.clone());
        use_effect_with(*round, move |_| {
            progress.set(Progress::Sending);
            let is_wanted = Rc::new(Cell::new(true));
            let tell = move |now: Progress| {
                if now == Progress::Failed(Failure::SignedOut) {
                    access.onrefused.emit(());
                }
                progress.set(now);
            };
            spawn_local(go(ad_id, access.credential.clone(), is_wanted.clone(), tell));
            move || is_wanted.set(false)
        });
    }
    let onclick = {
        let round = round.clone();
        Callback::from(move |_: MouseEvent| round.set(*round + 1))
    };
    html! {
        <>
            <Way progress={(*progress).clone()} query={props.view.place.query.clone()} />
            <div class="form-end"><button type="button" class="quiet" disabled={!progress.is_over()} {onclick}>{ words::MAKE_ANOTHER }</button></div>
        </>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct WayProps {
    progress: Progress,
    query: Query,
}

/// A step of the click's way, with a sign and a word for its state.
fn step(is_done: bool, title: &str, text: Html) -> Html {
    let (sign, word) = if is_done { ("✓", words::STEP_DONE) } else { ("…", words::STEP_WAITS) };
    html! {
        <li data-done={is_done.to_string()}>
            <span class="way-sign" aria-hidden="true">{ sign }</span>
            <div><p class="way-title"><span class="hidden">{ word }{ " " }</span>{ title }</p>{ text }</div>
        </li>
    }
}

/// The click's way so far.
#[component]
fn Way(props: &WayProps) -> Html {
    let WayProps { progress, query } = props;
    let why = |text: &'static str| html! { <p class="soft">{ text }</p> };
    let accepted = match progress.click() {
        None => html! {},
        Some(click) => {
            let text = click.click_id.to_string();
            html! { <>{ why(words::TEST_ACCEPTED_WHY.get()) }<span class="with-copy"><code class="id">{ &text }</code><Copy {text} what={words::THE_ID} /></span></> }
        }
    };
    let (title, counted) = match progress {
        Progress::Counted(_, disposition) if disposition == "test" => {
            (words::TEST_COUNTED.to_string(), why(words::TEST_COUNTED_WHY.get()))
        }
        Progress::Counted(_, disposition) => {
            let verdict = words::verdict(disposition);
            (words::test_counted_as(verdict), why(words::verdict_why(disposition)))
        }
        Progress::Late(_) => (words::TEST_COUNTED.to_string(), why(words::TEST_LATE.get())),
        _ => (words::TEST_COUNTED.to_string(), why(words::TEST_WAITS.get())),
    };
    let is_counted = matches!(progress, Progress::Counted(..));
    html! {
        <div data-testid="trial" data-state={progress.name()}>
            if let Progress::Failed(failure) = progress {
                <Problem failure={failure.clone()} />
            } else {
                <div role="status">
                    <ol class="way">
                        { step(progress.click().is_some(), &words::TEST_ACCEPTED, accepted) }
                        if progress.click().is_some() {
                            { step(is_counted, &title, counted) }
                        }
                    </ol>
                </div>
            }
            if let Some(click) = progress.click() {
                <h3>{ words::LEADS_TO }</h3>
                <p><bdi class="address" data-testid="trial-location">{ &click.location }</bdi>{ " " }<Copy text={click.location.clone()} what={words::THE_TARGET} /></p>
                <p class="soft">{ words::LEADS_TO_WHY }</p>
                if is_counted {
                    <p class="links"><Link to={passport(click, query)}>{ words::SHOW_CLICK }</Link></p>
                }
            }
        </div>
    }
}

/// Returns the place where all that is known of the click is shown.
fn passport(click: &TestClick, query: &Query) -> Place {
    Place::new(Route::Clicks, Query { part: Some(click.click_id.to_string()), ..query.carried() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::render;

    fn click() -> TestClick {
        TestClick {
            click_id: uuid::Uuid::from_u128(7),
            advertiser_id: "adv_001".into(),
            campaign_id: "camp_001".into(),
            ad_id: "ad_001".into(),
            location: "https://shop.example/?a=<b>".into(),
        }
    }

    #[tokio::test]
    async fn each_step_of_the_way_is_said_when_it_is_known() {
        let way = async |progress: Progress| {
            render::<Way>(WayProps { progress, query: Query::read("?a=adv_001&q=x") }).await
        };
        let sending = way(Progress::Sending).await;
        assert!(
            sending.contains(words::STEP_WAITS.get()) && !sending.contains(words::LEADS_TO.get()),
            "{sending}"
        );
        let waiting = way(Progress::Waiting(click())).await;
        for expected in [
            words::STEP_DONE.get(),
            words::TEST_WAITS.get(),
            "https://shop.example/?a=&lt;b&gt;",
            r#"data-state="waiting""#,
        ] {
            assert!(waiting.contains(expected), "{expected}: {waiting}");
        }
        assert!(
            !waiting.contains(words::SHOW_CLICK.get()) && !waiting.contains(words::TEST_COUNTED_WHY.get()),
            "{waiting}"
        );
        let late = way(Progress::Late(click())).await;
        assert!(late.contains("It is not counted yet") && !late.contains(words::SHOW_CLICK.get()), "{late}");
        let counted = way(Progress::Counted(click(), "test".into())).await;
        assert!(counted.contains("on no bill") && !counted.contains(words::STEP_WAITS.get()), "{counted}");
        for expected in ["/clicks?a=adv_001", "p=00000000-0000-0000-0000-000000000007"] {
            assert!(counted.contains(expected), "{expected}: {counted}");
        }
        let other = way(Progress::Counted(click(), "valid".into())).await;
        assert!(!other.contains(words::TEST_COUNTED.get()) && other.contains("Counted as "), "{other}");
        let failed = way(Progress::Failed(Failure::Away)).await;
        assert!(failed.contains(r#"role="alert""#) && !failed.contains(words::LEADS_TO.get()), "{failed}");
    }

    #[test]
    fn the_click_is_looked_for_by_its_id_within_its_advertiser() {
        let expected = "/api/v1/clicks?click_id=00000000-0000-0000-0000-000000000007&advertiser_id=adv_001";
        assert_eq!(url(&click()), expected);
    }
}

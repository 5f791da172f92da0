//! `/setup`: the first steps of an empty deployment, up to the first click. Each step is done when the thing that it
//! makes exists, so that the setup goes on where it was left.

use clickwire_protocol::ledger::FoundClick;
use serde_json::json;
use yew::prelude::*;

use super::{
    Sheet,
    ads::link_of,
    beside,
    command::{command, origin},
    on_submit, registered, wrong,
};
use crate::{
    access::use_access,
    api::{Ad, Campaign, Issued, Page},
    ask::{Answer, use_interval, use_mutation, use_query},
    http::{self, Failure, Method, Request},
    kit::{Empty, Field, Problem, Secret, icon, use_field},
    query::Query,
    route::Route,
    router::{Link, Place},
    words,
};

/// Interval between two requests for the first click, in milliseconds.
const LOOK_EVERY_MS: u32 = 1_000;

/// The kind of a registered thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Advertiser,
    Campaign,
    Ad,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Advertiser => "advertisers",
            Self::Campaign => "campaigns",
            Self::Ad => "ads",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Advertiser => "adv",
            Self::Campaign => "camp",
            Self::Ad => "ad",
        }
    }

    fn example(self) -> words::Text {
        match self {
            Self::Advertiser => words::EXAMPLE_ADVERTISER,
            Self::Campaign => words::EXAMPLE_CAMPAIGN,
            Self::Ad => words::EXAMPLE_AD,
        }
    }
}

/// An id that goes with a name: `adv_northwind`.
fn id_of(kind: Kind, name: &str) -> String {
    let mut id = kind.prefix().to_owned();
    for part in name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        id.push('_');
        id.push_str(&part.to_ascii_lowercase());
    }
    id.truncate(40);
    id
}

/// Returns the failure of the first list that failed, with the callback that asks for that list again.
fn failed<T, U>(campaigns: &Answer<T>, ads: &Answer<U>) -> Option<(Failure, Callback<()>)> {
    let of_campaigns = campaigns.failure.clone().zip(Some(campaigns.reload.clone()));
    of_campaigns.or_else(|| ads.failure.clone().zip(Some(ads.reload.clone())))
}

/// The page.
#[component]
pub fn Setup() -> Html {
    let access = use_access();
    let first = access.advertisers.as_ref().and_then(|all| all.first().cloned());
    let advertiser_id = first.as_ref().map(|known| known.advertiser_id.clone());
    let of = |id: Option<String>| id.map(|id| http::url("/api/v1/campaigns", [("advertiser_id", Some(id))]));
    let campaigns = use_query::<Page<Campaign>>(of(advertiser_id.clone()));
    let campaign = campaigns.data.as_ref().and_then(|page| page.data.first().cloned());
    let campaign_id = campaign.as_ref().map(|known| known.campaign_id.clone());
    let ads = use_query::<Page<Ad>>(campaign_id.as_ref().map(|id| registered("campaigns", id) + "/ads"));
    let ad = ads.data.as_ref().and_then(|page| page.data.first().cloned());
    let key = use_state(|| None::<Issued>);
    if access.advertisers.is_none() {
        return html! { <Sheet title={words::SETUP}><span class="skeleton line" /></Sheet> };
    }
    let step = |kind: Kind,
                title: words::Text,
                known: Option<(String, String)>,
                parent: Option<String>,
                ondone: Callback<()>| {
        let is_due = known.is_none() && (kind == Kind::Advertiser || parent.is_some());
        html! {
            <Step {title} done={known.as_ref().map(|(name, id)| words::named(name, id))} {is_due}>
                <Register {kind} {parent} {ondone} />
            </Step>
        }
    };
    let onissued = {
        let key = key.clone();
        Callback::from(move |issued| key.set(Some(issued)))
    };
    let named = |name: &str, id: &str| Some((name.to_owned(), id.to_owned()));
    let has_ad = ad.is_some();
    html! {
        <Sheet title={words::SETUP}>
            <p class="soft lead">{ words::SETUP_LEAD }</p>
            if let Some((failure, onretry)) = failed(&campaigns, &ads) {
                <Problem {failure} {onretry} />
            }
            <ol class="steps">
                { step(Kind::Advertiser, words::STEP_ADVERTISER, first.as_ref().and_then(|known| named(&known.name, &known.advertiser_id)), None, access.onadvertisers.clone()) }
                { step(Kind::Campaign, words::STEP_CAMPAIGN, campaign.as_ref().and_then(|known| named(&known.name, &known.campaign_id)), advertiser_id.clone(), campaigns.reload.clone()) }
                { step(Kind::Ad, words::STEP_AD, ad.as_ref().and_then(|known| named(&known.name, &known.ad_id)), campaign_id.clone(), ads.reload.clone()) }
                <Step title={words::STEP_KEY} done={key.as_ref().map(|key| format!("{} {}", words::SECRET_ONCE_HERE, key.name))} is_due={has_ad && key.is_none()}>
                    <FirstKey advertiser_id={advertiser_id.clone().unwrap_or_default()} {onissued} />
                </Step>
                <Step title={words::STEP_CLICK} done={None::<String>} is_due={has_ad}>
                    if let (Some(advertiser_id), Some(campaign_id), Some(ad)) = (advertiser_id, campaign_id, ad) {
                        <FirstClick {advertiser_id} {campaign_id} ad_id={ad.ad_id} key_={(*key).clone()} />
                    }
                </Step>
            </ol>
        </Sheet>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct StepProps {
    title: AttrValue,
    /// The result of the step; `None`: it is not done.
    done: Option<String>,
    /// The step is the next one.
    is_due: bool,
    children: Html,
}

#[component]
fn Step(props: &StepProps) -> Html {
    let state = match (&props.done, props.is_due) {
        (Some(_), _) => "done",
        (None, true) => "due",
        (None, false) => "later",
    };
    html! {
        <li class="step" data-state={state} aria-current={props.is_due.then_some("step")}>
            <h2>{ &props.title }</h2>
            if let Some(done) = &props.done {
                <p class="step-done">{ icon("M3 8.5l3.5 3.5L13 4.5") }<bdi>{ done }</bdi></p>
            } else if props.is_due {
                { props.children.clone() }
            }
        </li>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct RegisterProps {
    kind: Kind,
    parent: Option<String>,
    ondone: Callback<()>,
}

/// Registers something by its name.
#[component]
fn Register(props: &RegisterProps) -> Html {
    let mutation = use_mutation();
    let (label, onlabel) = use_field("");
    let (id, onid) = use_field("");
    let (target, ontarget) = use_field("");
    let kind = props.kind;
    let id = if id.is_empty() && !label.is_empty() { id_of(kind, &label) } else { id };
    let onsubmit = {
        let (mutation, ondone, parent) = (mutation.clone(), props.ondone.clone(), props.parent.clone());
        let mut body = match kind {
            Kind::Advertiser => json!({ "name": label }),
            Kind::Campaign => json!({ "name": label, "advertiser_id": parent }),
            Kind::Ad => json!({ "name": label, "campaign_id": parent, "target_url": target }),
        };
        body["if_absent"] = true.into();
        let url = registered(kind.path(), &id);
        on_submit(move || {
            let then = ondone.reform(|_: String| ());
            mutation.send(Request::with(Method::Put, &url, &body), then);
        })
    };
    let name = |part: &str| format!("setup-{}-{part}", kind.path());
    let id_field = format!("{}_id", kind.path().trim_end_matches('s'));
    html! {
        <form class="form row" {onsubmit}>
            <Field id={name("name")} label={words::NAME} value={label} oninput={onlabel} required=true first=true placeholder={kind.example()} error={wrong(&mutation, "name")} />
            <Field id={name("id")} label={words::ID} value={id} oninput={onid} required=true error={wrong(&mutation, &id_field)} />
            if kind == Kind::Ad {
                <Field id={name("target")} label={words::TARGET} kind="url" value={target} oninput={ontarget} required=true placeholder="https://shop.example/" error={wrong(&mutation, "target_url")} />
            }
            { beside(&mutation, &["name", &id_field, "target_url"]) }
            <button type="submit" class="primary" disabled={mutation.is_busy}>{ words::CREATE }</button>
        </form>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct FirstKeyProps {
    advertiser_id: String,
    onissued: Callback<Issued>,
}

/// Makes a key for one advertiser.
#[component]
fn FirstKey(props: &FirstKeyProps) -> Html {
    let mutation = use_mutation();
    let (label, onlabel) = use_field(words::FIRST_KEY.get());
    let onsubmit = {
        let (mutation, onissued) = (mutation.clone(), props.onissued.clone());
        let body = json!({
            "name": label, "mode": "live", "advertisers": [props.advertiser_id], "speaks_for_users": true,
        });
        on_submit(move || {
            mutation.run(Request::with(Method::Post, "/api/v1/admin/keys", &body), onissued.clone());
        })
    };
    html! {
        <form class="form row" {onsubmit}>
            <Field id="setup-key-name" label={words::NAME} value={label} oninput={onlabel} required=true error={wrong(&mutation, "name")} />
            { beside(&mutation, &["name"]) }
            <button type="submit" class="primary" disabled={mutation.is_busy}>{ words::CREATE_KEY }</button>
        </form>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct FirstClickProps {
    advertiser_id: String,
    campaign_id: String,
    ad_id: String,
    key_: Option<Issued>,
}

/// The ways to send the first click, and its arrival.
#[component]
fn FirstClick(props: &FirstClickProps) -> Html {
    let url = http::url(
        "/api/v1/clicks",
        [("advertiser_id", Some(props.advertiser_id.clone())), ("limit", Some("1".to_owned()))],
    );
    let clicks = use_query::<Page<FoundClick>>(Some(url));
    let first = clicks.data.as_ref().and_then(|page| page.data.first().cloned());
    use_interval(if first.is_some() { 0 } else { LOOK_EVERY_MS }, clicks.reload.clone());
    let origin = use_memo((), |()| origin());
    html! {
        <>
            if let Some(key) = &props.key_ {
                <p>{ words::SECRET_ONCE }</p>
                <Secret text={key.key.clone()} what={words::THE_KEY} testid="secret" />
                <p>{ words::POST_A_CLICK }</p>
                <Secret text={command(&origin, &key.key, &props.advertiser_id, &props.campaign_id, &props.ad_id)} what={words::THE_COMMAND} />
            }
            <p>{ words::OR_FOLLOW }</p>
            <Secret text={link_of(&props.ad_id)} what={words::THE_LINK} />
            <div class="waiting" role="status" data-testid="first-click" data-state={if first.is_some() { "arrived" } else { "waiting" }}>
                if let Some(click) = &first {
                    <p class="arrived">{ words::first_click(&click.country, &click.device_type, &click.disposition) }</p>
                } else {
                    <p>{ words::WAITING }</p>
                }
            </div>
            if first.is_some() {
                <p class="links">
                    <Link class="primary" to={Place::new(Route::Overview, Query::default())}>{ words::TO_OVERVIEW }</Link>
                    <Link to={Place::new(Route::Accounts, Query::default())}>{ words::TO_ACCOUNTS }</Link>
                </p>
            } else if let Some(failure) = clicks.failure.clone() {
                <Empty title={failure.message()} />
            }
        </>
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    #[test]
    fn what_failed_is_what_is_asked_for_again() {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let list = |name: &'static str, has_failed: bool| {
            let asked = asked.clone();
            let reload = Callback::from(move |()| asked.borrow_mut().push(name));
            let failure = has_failed.then_some(Failure::Away);
            Answer::<()> { data: None, stale: None, failure, is_loading: false, reload }
        };
        for failing in [[false, false], [true, false], [false, true], [true, true]] {
            let failed = failed(&list("campaigns", failing[0]), &list("ads", failing[1]));
            assert_eq!(failed.is_some(), failing != [false, false]);
            failed.iter().for_each(|(_, reload)| reload.emit(()));
        }
        assert_eq!(*asked.borrow(), ["campaigns", "ads", "campaigns"]);
    }

    #[test]
    fn an_id_goes_with_its_name() {
        for (kind, name, id) in [
            (Kind::Advertiser, "Northwind", "adv_northwind"),
            (Kind::Campaign, "Spring sale, 2026", "camp_spring_sale_2026"),
            (Kind::Ad, "日本", "ad"),
        ] {
            assert_eq!(id_of(kind, name), id);
        }
        assert!(id_of(Kind::Ad, &"x".repeat(100)).len() <= 40);
    }
}

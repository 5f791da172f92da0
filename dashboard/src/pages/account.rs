//! `/account`: the viewer's identity, and the settings of the viewer's own account. Only a viewer who has signed in
//! with a password has one: a link with a token has neither a password nor tokens.

mod browser;
mod password;
mod tokens;

use yew::prelude::*;

use super::{Sheet, beside, name, sets};
use crate::{
    access::{Access, use_access},
    account::Credential,
    ask::use_mutation,
    frame::View,
    http::{Method, Request},
    kit::{Confirm, Segments},
    language,
    route::Route,
    theme::Theme,
    words,
};

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
    /// Number that changes when the colours change.
    pub colours: u32,
    /// Hears that colours, or the zone, have changed: the whole frame is drawn again.
    pub ontheme: Callback<()>,
}

/// The page.
#[component]
pub fn Account(props: &Props) -> Html {
    let access = use_access();
    let has_account = access.credential == Credential::Cookie;
    html! {
        <Sheet title={words::ACCOUNT}>
            <div class="panels">
                <div class="part">
                    <section class="panel" aria-labelledby="account-you">
                        <h2 id="account-you">{ words::YOU }</h2>
                        { you(&access) }
                        if has_account {
                            <SignOut />
                        } else {
                            <p class="soft">{ words::WITH_TOKEN_WHY }</p>
                        }
                    </section>
                    <section class="panel" aria-labelledby="account-colours">
                        <h2 id="account-colours">{ words::COLOURS }</h2>
                        <Colours colours={props.colours} ontheme={props.ontheme.clone()} />
                    </section>
                    <section class="panel" aria-labelledby="account-language">
                        <h2 id="account-language">{ words::LANGUAGE }</h2>
                        <Languages />
                    </section>
                    <section class="panel" aria-labelledby="account-zone">
                        <h2 id="account-zone">{ words::ZONE }</h2>
                        <browser::Zones onchanged={props.ontheme.clone()} />
                    </section>
                    if Route::Incidents(None).is_open_to(access.role()) {
                        <section class="panel" aria-labelledby="account-incidents">
                            <h2 id="account-incidents">{ words::INCIDENTS }</h2>
                            <browser::Incidents />
                        </section>
                    }
                </div>
                if has_account {
                    <section class="panel" aria-labelledby="account-password">
                        <h2 id="account-password">{ words::PASSWORD }</h2>
                        <password::Change />
                    </section>
                }
            </div>
            if has_account {
                <tokens::Tokens view={props.view.clone()} />
            }
        </Sheet>
    }
}

fn you(access: &Access) -> Html {
    let Some(session) = &access.session else { return html! {} };
    let sees = match &session.advertisers {
        None => words::ALL_ADVERTISERS.to_string(),
        Some(own) => own.iter().map(|id| access.advertiser_name(id)).collect::<Vec<_>>().join(", "),
    };
    let line = |label: words::Text, value: Html| html! { <><dt>{ label }</dt><dd>{ value }</dd></> };
    let opened = match access.credential {
        Credential::Cookie => words::WITH_PASSWORD,
        Credential::Token(_) => words::WITH_TOKEN,
    };
    html! {
        <dl class="facts">
            { line(words::NAME, name(&session.name)) }
            { line(words::ROLE, html! { words::role(session.role) }) }
            { line(words::SEES, html! { <bdi>{ if sees.is_empty() { "–".to_owned() } else { sees } }</bdi> }) }
            { line(words::OPENED_WITH, html! { opened }) }
        </dl>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct ColoursProps {
    colours: u32,
    ontheme: Callback<()>,
}

/// The choice of colours: light, dark, or those of the system.
#[component]
fn Colours(props: &ColoursProps) -> Html {
    let theme = use_state_eq(Theme::default);
    {
        let theme = theme.clone();
        use_effect_with(props.colours, move |_| theme.set(Theme::stored()));
    }
    let options = Theme::ALL.map(|choice| (choice.label().into(), words::colours(choice).into())).to_vec();
    let onchoose = props.ontheme.reform(|chosen: AttrValue| {
        if let Some(choice) = Theme::ALL.into_iter().find(|choice| choice.label() == chosen) {
            choice.apply();
        }
    });
    html! { <Segments label={words::COLOURS} {options} value={theme.label()} {onchoose} /> }
}

/// The choice of a language, or that of the browser. A change loads the page again.
#[component]
fn Languages() -> Html {
    let chosen = use_state_eq(|| None::<String>);
    {
        let chosen = chosen.clone();
        use_effect_with((), move |()| chosen.set(language::stored()));
    }
    let mut options = vec![(AttrValue::default(), words::LANGUAGE_OF_BROWSER.into())];
    options.extend(language::all().into_iter().map(|code| {
        let name = language::name(&code);
        (code.into(), name.into())
    }));
    let value = (*chosen).clone().unwrap_or_default();
    let onchoose = Callback::from(move |code: AttrValue| {
        let code = Some(code.as_str()).filter(|code| !code.is_empty());
        chosen.set(code.map(str::to_owned));
        language::choose(code);
    });
    html! {
        <>
            <Segments label={words::LANGUAGE} {options} {value} {onchoose} />
            <p class="soft">{ words::LANGUAGE_HINT }</p>
        </>
    }
}

/// Ends every session of the account.
#[component]
fn SignOut() -> Html {
    let (access, mutation) = (use_access(), use_mutation());
    let asks = use_state_eq(|| false);
    let onconfirm = {
        let (mutation, asks, onrefused) = (mutation.clone(), asks.clone(), access.onrefused.clone());
        Callback::from(move |()| {
            asks.set(false);
            let request = Request::bare(Method::Delete, "/api/v1/session?everywhere=true");
            mutation.send(request, onrefused.reform(|_| ()));
        })
    };
    let login = access.session.map(|session| session.name).unwrap_or_default();
    html! {
        <>
            { beside(&mutation, &[]) }
            <div class="form-end">
                <button type="button" class="quiet" disabled={mutation.is_busy} onclick={sets(&asks, true).reform(|_: MouseEvent| ())}>{ words::SIGN_OUT_EVERYWHERE_MORE }</button>
            </div>
            if *asks {
                <Confirm title={words::sign_out_what(&login)} text={words::YOUR_SESSIONS_WHY} action={words::SIGN_OUT_EVERYWHERE} {onconfirm} onclose={sets(&asks, false)} />
            }
        </>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{Role, Session},
        kit::render,
        query::Query,
        router::Place,
        zone::Zone,
    };

    #[derive(Clone, PartialEq, Properties)]
    struct GivenProps {
        access: Access,
    }

    #[component]
    fn Given(props: &GivenProps) -> Html {
        let place = Place::new(Route::Account, Query::default());
        let view = View { place, scope: None, zone: Zone::utc() };
        html! {
            <ContextProvider<Access> context={props.access.clone()}>
                <Account {view} colours={0} ontheme={Callback::noop()} />
            </ContextProvider<Access>>
        }
    }

    #[tokio::test]
    async fn only_an_account_has_a_password_and_tokens() {
        let session = |advertisers: Option<&[&str]>| Session {
            name: "anna@shop.example".into(),
            role: if advertisers.is_some() { Role::Advertiser } else { Role::Admin },
            advertisers: advertisers.map(|ids| ids.iter().map(|&id| id.to_owned()).collect()),
        };
        let page = async |credential, advertisers| {
            let access = Access { session: Some(session(advertisers)), ..Access::new(credential) };
            render::<Given>(GivenProps { access }).await
        };
        let own = page(Credential::Cookie, Some(["adv_001", "adv_002"].as_slice())).await;
        for expected in
            ["anna@shop.example", "adv_001, adv_002", words::PASSWORD_NOW.get(), words::TOKENS.get()]
        {
            assert!(own.contains(expected), "{expected}: {own}");
        }
        for language in [r#"data-key="" aria-pressed="true""#, r#"data-key="en""#, r#"data-key="de""#] {
            assert!(own.contains(language), "{language}: {own}");
        }
        let link = page(Credential::Token("secret".into()), None).await;
        assert!(
            link.contains(words::WITH_TOKEN_WHY.get()) && link.contains(words::ALL_ADVERTISERS.get()),
            "{link}"
        );
        let switches = ["notify", "sound", "shortcuts"];
        for switch in switches {
            let testid = format!("data-testid=\"{switch}\"");
            assert!(link.contains(&testid), "{switch}: {link}");
            assert!(!own.contains(&testid), "an advertiser sees no incidents: {own}");
        }
        assert!(!link.contains(words::PASSWORD_NOW.get()) && !link.contains(words::TOKENS.get()), "{link}");
    }
}

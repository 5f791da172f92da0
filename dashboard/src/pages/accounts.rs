//! `/accounts`: people, their roles, and the advertisers that they see. An issued password is shown once.

use serde_json::{Value, json};
use yew::prelude::*;

use super::{
    NEW, Sheet, beside, chosen::use_chosen, done, name, on_submit, sets, shown_once::ShownOnce, wrong,
};
use crate::{
    access::use_access,
    api::{Account, Advertiser, IssuedAccount, Page, Role},
    ask::{use_mutation, use_pages},
    frame::View,
    http::{Method, Request},
    kit::{
        Badge, Column, Confirm, Drawer, Empty, Field, Pager, Problem, Segments, Table, Tone, use_field,
        use_toast,
    },
    query::{self, Query},
    route::Route,
    router::{Link, Place, use_router},
    words,
};

const ACCOUNTS: &str = "/api/v1/admin/accounts";

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// The page.
#[component]
pub fn Accounts(props: &Props) -> Html {
    let (access, router) = (use_access(), use_router());
    let list = use_pages::<Page<Account>>(Some(ACCOUNTS.to_owned()));
    let issued = use_state_eq(|| None::<IssuedAccount>);
    let query = props.view.place.query.clone();
    let chosen = query.part.clone();
    let at = move |part: Option<String>| Place::new(Route::Accounts, Query { part, ..query.clone() });
    let close = {
        let (router, to) = (router.clone(), at(None));
        Callback::from(move |()| router.go(to.clone()))
    };
    let onchanged = {
        let (reload, close) = (list.reload.clone(), close.clone());
        Callback::from(move |()| {
            reload.emit(());
            close.emit(());
        })
    };
    let onissued = {
        let (issued, onchanged) = (issued.clone(), onchanged.clone());
        Callback::from(move |account| {
            issued.set(Some(account));
            onchanged.emit(());
        })
    };
    let named = chosen.clone().filter(|chosen| chosen != NEW);
    let (found, again) = use_chosen::<_, Account>(
        &list,
        |row| Some(row.account_id.to_string()) == named,
        named.as_ref().map(|id| format!("{ACCOUNTS}/{}", query::encode(id))),
        |account| Some(account),
    );
    let aside = chosen.as_deref().map(|chosen| {
        let account = found.row().cloned();
        let is_new = chosen == NEW;
        let unknown = if is_new { words::NEW_ACCOUNT.to_string() } else { words::subject("accounts") };
        let title = account.as_ref().map_or(unknown, |known| known.login.clone());
        let key = format!("{chosen} {}", account.is_some());
        html! {
            <Drawer {title} onclose={close.clone()} {key}>
                if is_new || account.is_some() {
                    <Form {account} onchanged={onchanged.clone()} onissued={onissued.clone()} />
                } else {
                    { found.state(words::NO_SUCH_ACCOUNT, &again) }
                }
            </Drawer>
        }
    });
    let row = {
        let (rows, at, zone) = (list.rows.clone(), at.clone(), props.view.zone.clone());
        Callback::from(move |index: usize| {
            let account = &rows[index];
            let sees: Vec<String> = account.advertisers.iter().map(|id| access.advertiser_name(id)).collect();
            let sees = if account.role == Role::Advertiser {
                sees.join(", ")
            } else {
                words::ALL_ADVERTISERS.to_string()
            };
            vec![
                html! { <Link to={at(Some(account.account_id.to_string()))}>{ name(&account.login) }</Link> },
                name(&account.name),
                html! { words::role(account.role) },
                name(&sees),
                match &account.disabled_at {
                    Some(at) => {
                        html! { <span title={zone.stamp(at)}><Badge text={words::DISABLED} /></span> }
                    }
                    None => html! { <Badge text={words::ENABLED} tone={Tone::Good} /> },
                },
                html! { zone.stamp(&account.created_at) },
            ]
        })
    };
    let columns = [words::LOGIN, words::NAME, words::ROLE, words::SEES, words::STATE, words::CREATED];
    let actions = html! { <Link class="primary" to={at(Some(NEW.to_owned()))}>{ words::NEW_ACCOUNT }</Link> };
    let forget = sets(&issued, None);
    html! {
        <Sheet title={words::ACCOUNTS} {actions} {aside}>
            if let Some(failure) = list.failure.clone() {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            <Table caption={words::ACCOUNTS} columns={columns.map(Column::text).to_vec()} rows={list.rows.len()} {row}
                selected={list.rows.iter().position(|row| Some(row.account_id.to_string()) == chosen)} loaded={list.loaded()}
                empty={html! { <Empty title={words::NO_ACCOUNTS} text={words::NO_ACCOUNTS_WHY} /> }} />
            <Pager shown={list.rows.len()} has_more={list.has_more} is_loading={list.is_loading} onmore={list.more.clone()} />
            if let Some(account) = &*issued {
                <ShownOnce title={words::password_of(&account.login)} text={words::PASSWORD_ONCE} secret={account.password.clone()} what={words::THE_PASSWORD} onclose={forget} />
            }
        </Sheet>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct FormProps {
    /// The account; `None`: a new one.
    account: Option<Account>,
    onchanged: Callback<()>,
    onissued: Callback<IssuedAccount>,
}

/// The question that is open before an action.
#[derive(Clone, Copy, PartialEq)]
enum Asks {
    Nothing,
    Reset,
    SignOut,
}

/// Returns the body that enables or disables an account: the rest of it stays as it is stored.
fn switched(account: &Account) -> Value {
    let Account { name, role, advertisers, disabled_at, .. } = account;
    json!({ "name": name, "role": role, "advertisers": advertisers, "is_disabled": disabled_at.is_none() })
}

#[component]
fn Form(props: &FormProps) -> Html {
    let (access, mutation, toast) = (use_access(), use_mutation(), use_toast());
    let asks = use_state_eq(|| Asks::Nothing);
    let known = props.account.as_ref();
    let (login, onlogin) = use_field(known.map(|known| known.login.as_str()).unwrap_or_default());
    let (label, onlabel) = use_field(known.map(|known| known.name.as_str()).unwrap_or_default());
    let role = use_state_eq(|| AttrValue::from(known.map_or(Role::Advertiser, |known| known.role).as_str()));
    let sees = use_state_eq(|| known.map(|known| known.advertisers.clone()).unwrap_or_default());
    let is_disabled = known.is_some_and(|known| known.disabled_at.is_some());
    let url = known.map_or(ACCOUNTS.to_owned(), |known| format!("{ACCOUNTS}/{}", known.account_id));
    let is_advertiser = *role == Role::Advertiser.as_str();
    let advertisers = if is_advertiser { (*sees).clone() } else { Vec::new() };
    let profile = json!({ "name": label, "role": role.as_str(), "advertisers": advertisers });
    let change = {
        let (mutation, url) = (mutation.clone(), url.clone());
        let then = done(&toast, words::SAVED, &props.onchanged);
        move |body: &Value| mutation.send(Request::with(Method::Put, &url, body), then.clone())
    };
    let onsubmit = match known {
        Some(_) => {
            let (change, mut body) = (change.clone(), profile);
            body["is_disabled"] = json!(is_disabled);
            on_submit(move || change(&body))
        }
        None => {
            let (mutation, onissued, mut body) = (mutation.clone(), props.onissued.clone(), profile);
            body["login"] = json!(login);
            on_submit(move || mutation.run(Request::with(Method::Post, ACCOUNTS, &body), onissued.clone()))
        }
    };
    let onswitch = known.map(|known| {
        let body = switched(known);
        Callback::from(move |_: MouseEvent| change(&body))
    });
    let onreset = {
        let (mutation, onissued, url, asks) =
            (mutation.clone(), props.onissued.clone(), url.clone(), asks.clone());
        Callback::from(move |()| {
            asks.set(Asks::Nothing);
            mutation.run(Request::bare(Method::Post, &format!("{url}/password")), onissued.clone());
        })
    };
    let onsignout = {
        let (mutation, asks) = (mutation.clone(), asks.clone());
        let then = done(&toast, words::SIGNED_OUT_EVERYWHERE, &Callback::noop());
        Callback::from(move |()| {
            asks.set(Asks::Nothing);
            mutation.send(Request::bare(Method::Post, &format!("{url}/sign-out")), then.clone());
        })
    };
    let roles = Role::ALL.map(|role| (role.as_str().into(), words::role(role).into())).to_vec();
    let onrole = {
        let role = role.clone();
        Callback::from(move |chosen| role.set(chosen))
    };
    let close = sets(&asks, Asks::Nothing);
    html! {
        <>
            <form class="form" {onsubmit}>
                <Field id="account-login" label={words::LOGIN} value={login.clone()} oninput={onlogin} required=true disabled={known.is_some()} first={known.is_none()}
                    hint={if known.is_none() { words::LOGIN_HINT.get() } else { "" }} error={wrong(&mutation, "login")} placeholder="anna@shop.example" />
                <Field id="account-name" label={words::NAME} value={label} oninput={onlabel} required=true error={wrong(&mutation, "name")} />
                <Segments label={words::ROLE} options={roles} value={(*role).clone()} onchoose={onrole} />
                <p class="field-hint">{ words::role_hint(&role) }</p>
                if is_advertiser {
                    { choice(&choices(access.advertisers.as_deref().unwrap_or_default(), known), &sees) }
                    if let Some(error) = wrong(&mutation, "advertisers") {
                        <p class="field-error">{ error }</p>
                    }
                }
                { beside(&mutation, &["login", "name", "advertisers"]) }
                <div class="form-end">
                    <button type="submit" class="primary" disabled={mutation.is_busy}>{ if known.is_none() { words::CREATE } else { words::SAVE } }</button>
                </div>
            </form>
            if known.is_some() {
                <div class="form-end apart">
                    <button type="button" class="quiet" onclick={sets(&asks, Asks::Reset).reform(|_: MouseEvent| ())}>{ words::RESET_MORE }</button>
                    <button type="button" class="quiet" onclick={sets(&asks, Asks::SignOut).reform(|_: MouseEvent| ())}>{ words::SIGN_OUT_EVERYWHERE_MORE }</button>
                    <button type="button" class={classes!("quiet", (!is_disabled).then_some("danger"))} onclick={onswitch}>
                        { if is_disabled { words::ENABLE } else { words::DISABLE } }
                    </button>
                </div>
            }
            { match *asks {
                Asks::Nothing => html! {},
                Asks::Reset => html! { <Confirm title={words::reset_what(&login)} text={words::RESET_WHY} action={words::RESET} onconfirm={onreset} onclose={close} /> },
                Asks::SignOut => html! { <Confirm title={words::sign_out_what(&login)} text={words::SIGN_OUT_WHY} action={words::SIGN_OUT_EVERYWHERE} onconfirm={onsignout} onclose={close} /> },
            } }
        </>
    }
}

/// Returns the advertisers to choose from, by id, with their names. Those that the account sees and that are registered
/// no more are among them, so that they can be taken away.
fn choices(all: &[Advertiser], account: Option<&Account>) -> Vec<(String, String)> {
    let is_known = |id: &&String| all.iter().any(|known| known.advertiser_id == **id);
    let seen = account.into_iter().flat_map(|account| &account.advertisers);
    let others = seen.filter(|id| !is_known(id)).map(|id| (id.clone(), id.clone()));
    all.iter().map(|known| (known.advertiser_id.clone(), known.name.clone())).chain(others).collect()
}

/// The field of the advertisers that an account sees.
fn choice(all: &[(String, String)], sees: &UseStateHandle<Vec<String>>) -> Html {
    html! {
        <fieldset class="choice">
            <legend>{ words::SEES }</legend>
            { for all.iter().map(|(key, name)| {
                let (id, sees) = (key.clone(), sees.clone());
                let is_chosen = sees.contains(&id);
                let onchange = Callback::from(move |_: Event| {
                    let mut chosen = (*sees).clone();
                    if is_chosen {
                        chosen.retain(|known| *known != id);
                    } else {
                        chosen.push(id.clone());
                    }
                    sees.set(chosen);
                });
                html! {
                    <label key={key.clone()}>
                        <input type="checkbox" name={key.clone()} checked={is_chosen} {onchange} />
                        <bdi>{ name }</bdi>
                    </label>
                }
            }) }
        </fieldset>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            account_id: uuid::Uuid::nil(),
            login: "anna@shop.example".into(),
            name: "Anna".into(),
            role: Role::Advertiser,
            advertisers: vec!["adv_001".into(), "adv_gone".into()],
            created_at: "2026-11-28T10:00:00Z".into(),
            disabled_at: None,
        }
    }

    #[test]
    fn an_advertiser_that_is_registered_no_more_can_be_taken_away() {
        let all = [Advertiser { advertiser_id: "adv_001".into(), name: "Northwind".into() }];
        let ids = |account: Option<&Account>| -> Vec<String> {
            choices(&all, account).into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(ids(None), ["adv_001"]);
        assert_eq!(ids(Some(&account())), ["adv_001", "adv_gone"]);
    }

    #[test]
    fn an_account_is_switched_as_it_is_stored() {
        let body = |is_disabled: bool| {
            let advertisers = ["adv_001", "adv_gone"];
            json!({ "name": "Anna", "role": "advertiser", "advertisers": advertisers, "is_disabled": is_disabled })
        };
        assert_eq!(switched(&account()), body(true));
        let disabled = Account { disabled_at: Some("2026-11-29T10:00:00Z".into()), ..account() };
        assert_eq!(switched(&disabled), body(false));
    }
}

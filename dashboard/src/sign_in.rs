//! The page for a viewer who is not signed in, or not any more.

use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::{logo::Logo, theme, words};

/// An attempt to sign in, with its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// An account.
    Password {
        /// Its login.
        login: String,
        /// Its password.
        password: String,
    },
    /// A token, without an account.
    Token(String),
}

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Reason for the page, if the viewer was signed in or has tried before.
    pub message: Option<AttrValue>,
    /// The server is being asked.
    #[prop_or_default]
    pub busy: bool,
    /// Hears the attempt.
    pub onsubmit: Callback<Attempt>,
}

/// Fields for login and password, or for a token.
#[component]
pub fn SignIn(props: &Props) -> Html {
    let by_token = use_state_eq(|| false);
    let (first, second) = (use_node_ref(), use_node_ref());
    {
        let first = first.clone();
        use_effect_with((props.message.clone(), *by_token), move |_| {
            // Without focus one has to click first: no harm.
            first.cast::<HtmlInputElement>().and_then(|field| field.focus().ok());
        });
    }
    let onsubmit = {
        let (first, second, by_token) = (first.clone(), second.clone(), *by_token);
        props.onsubmit.reform(move |event: SubmitEvent| {
            event.prevent_default();
            let value = |field: &NodeRef| {
                field.cast::<HtmlInputElement>().map(|field| field.value()).unwrap_or_default()
            };
            let first = value(&first).trim().to_owned();
            if by_token {
                Attempt::Token(first)
            } else {
                Attempt::Password { login: first, password: value(&second) }
            }
        })
    };
    let other = {
        let by_token = by_token.clone();
        Callback::from(move |_: MouseEvent| by_token.set(!*by_token))
    };
    let invalid = props.message.is_some();
    let (invalid, described) = (invalid.then_some("true"), invalid.then_some("sign-in-problem"));
    html! {
        <main class="sign-in">
            <form class="card" {onsubmit}>
                <div class="brand"><Logo /><h1>{ words::BRAND }</h1></div>
                <p>{ words::SIGN_IN_LEAD }</p>
                if let Some(message) = &props.message {
                    <p class="problem" role="alert" id="sign-in-problem">{ message }</p>
                }
                if *by_token {
                    <label for="token">{ words::ACCESS_TOKEN }</label>
                    <input key="token" ref={first} id="token" name="token" type="password" autocomplete="off" spellcheck="false" required=true
                        aria-invalid={invalid} aria-describedby={described} />
                } else {
                    <label for="login">{ words::SIGN_IN_LOGIN }</label>
                    <input key="login" ref={first} id="login" name="login" type="text" inputmode="email" autocomplete="username" autocapitalize="none"
                        spellcheck="false" required=true aria-invalid={invalid} aria-describedby={described} />
                    <label for="password">{ words::PASSWORD }</label>
                    <input key="password" ref={second} id="password" name="password" type="password" autocomplete="current-password" required=true
                        aria-invalid={invalid} aria-describedby={described} />
                }
                <button type="submit" class="primary" disabled={props.busy}>{ if props.busy { words::SIGNING_IN } else if *by_token { words::SHOW_DASHBOARD } else { words::SIGN_IN } }</button>
                if *by_token {
                    <p class="fine">{ words::TOKEN_STAYS }</p>
                }
                <button type="button" class="link" onclick={other}>{ if *by_token { words::SIGN_IN_BY_PASSWORD } else { words::SIGN_IN_BY_TOKEN } }</button>
            </form>
            <theme::Toggle />
        </main>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn render(message: Option<&'static str>, busy: bool) -> String {
        let props = Props { message: message.map(AttrValue::from), busy, onsubmit: Callback::noop() };
        yew::LocalServerRenderer::<SignIn>::with_props(props).hydratable(false).render().await
    }

    #[tokio::test]
    async fn a_refused_password_is_explained_at_the_fields() {
        let calm = render(None, false).await;
        assert!(calm.contains(r#"<label for="login">"#) && !calm.contains("alert"), "{calm}");
        assert!(calm.contains(r#"autocomplete="current-password""#), "{calm}");
        let refused = render(Some("The password is wrong."), false).await;
        assert!(refused.contains(r#"role="alert""#) && refused.contains("is wrong"), "{refused}");
        assert!(refused.contains(r#"aria-describedby="sign-in-problem""#), "{refused}");
    }

    #[tokio::test]
    async fn while_the_server_is_asked_nothing_is_sent_twice() {
        let busy = render(None, true).await;
        assert!(busy.contains("disabled") && busy.contains("Signing in"), "{busy}");
    }
}

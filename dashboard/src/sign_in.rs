//! The page for who has no token, or one that was refused.

use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::{logo::Logo, theme};

/// What the page shows.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Why one is here, if not for the first time.
    pub message: Option<AttrValue>,
    /// Hears the token.
    pub onsubmit: Callback<String>,
}

/// A field for the token.
#[component]
pub fn SignIn(props: &Props) -> Html {
    let field = use_node_ref();
    {
        let field = field.clone();
        use_effect_with(props.message.clone(), move |_| {
            // Without focus one has to click first: no harm.
            field.cast::<HtmlInputElement>().and_then(|field| field.focus().ok());
        });
    }
    let onsubmit = {
        let (field, onsubmit) = (field.clone(), props.onsubmit.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            let token = field.cast::<HtmlInputElement>().map(|field| field.value()).unwrap_or_default();
            if !token.trim().is_empty() {
                onsubmit.emit(token.trim().to_owned());
            }
        })
    };
    let invalid = props.message.is_some();
    html! {
        <main class="sign-in">
            <form class="card" {onsubmit}>
                <div class="brand"><Logo /><h1>{ "Clickwire" }</h1></div>
                <p>{ "Watch your clicks as they happen. Open the link you were given, or paste its token." }</p>
                if let Some(message) = &props.message {
                    <p class="problem" role="alert" id="sign-in-problem">{ message }</p>
                }
                <label for="token">{ "Access token" }</label>
                <input ref={field} id="token" name="token" type="password" autocomplete="off" spellcheck="false" required=true
                    aria-invalid={invalid.then_some("true")} aria-describedby={invalid.then_some("sign-in-problem")} />
                <button type="submit" class="primary">{ "Show the dashboard" }</button>
                <p class="fine">{ "The token stays in this tab and is forgotten when you close it." }</p>
            </form>
            <theme::Toggle />
        </main>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn render(message: Option<&'static str>) -> String {
        let props = Props { message: message.map(AttrValue::from), onsubmit: Callback::noop() };
        yew::LocalServerRenderer::<SignIn>::with_props(props).hydratable(false).render().await
    }

    #[tokio::test]
    async fn a_refused_token_is_explained_at_the_field() {
        let calm = render(None).await;
        assert!(calm.contains(r#"<label for="token">"#) && !calm.contains("alert"), "{calm}");
        let refused = render(Some("That token was not accepted.")).await;
        assert!(refused.contains(r#"role="alert""#) && refused.contains("not accepted"), "{refused}");
        assert!(refused.contains(r#"aria-describedby="sign-in-problem""#), "{refused}");
    }
}

//! A text to be taken along: a key that is shown once, a command, a link.

use yew::prelude::*;

use super::Copy;

/// Properties of the text.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The text.
    pub text: AttrValue,
    /// Name of the text.
    pub what: AttrValue,
    /// Its name in tests.
    #[prop_or_default]
    pub testid: AttrValue,
}

/// The text in full, with a button that copies it.
#[component]
pub fn Secret(props: &Props) -> Html {
    html! {
        <div class="secret">
            <pre tabindex="0" role="group" aria-label={&props.what} data-testid={&props.testid}><code>{ &props.text }</code></pre>
            <Copy text={&props.text} what={&props.what} />
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn a_text_is_there_in_full() {
        let props = Props { text: "curl -H 'a: <b>'".into(), what: "the command".into(), testid: "".into() };
        let secret = render::<Secret>(props).await;
        assert!(secret.contains("curl -H 'a: &lt;b&gt;'"), "{secret}");
    }
}

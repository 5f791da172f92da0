//! A field of several lines: its label, its purpose, and its error.

use web_sys::HtmlTextAreaElement;
use yew::prelude::*;

use super::labelled::labelled;

/// Properties of the area.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Its name, unique on the page.
    pub id: AttrValue,
    /// Label of the area.
    pub label: AttrValue,
    /// Text in the area.
    pub value: AttrValue,
    /// Hears what is entered.
    pub oninput: Callback<String>,
    /// Purpose of the area.
    #[prop_or_default]
    pub hint: AttrValue,
    /// Error of the input.
    #[prop_or_default]
    pub error: Option<String>,
    /// Lines that are seen at once.
    #[prop_or(4)]
    pub lines: u32,
    /// The text is a program's, shown in letters of one width.
    #[prop_or_default]
    pub is_code: bool,
    /// Input is required before the form is sent.
    #[prop_or_default]
    pub required: bool,
}

/// The area.
#[component]
pub fn Area(props: &Props) -> Html {
    let oninput = props.oninput.reform(|event: InputEvent| {
        event.target_dyn_into::<HtmlTextAreaElement>().map(|area| area.value()).unwrap_or_default()
    });
    labelled(&props.id, &props.label, &props.hint, props.error.as_deref(), |described| {
        html! {
            <textarea id={&props.id} name={&props.id} class={props.is_code.then_some("code")} value={props.value.to_string()} {oninput} rows={props.lines.to_string()}
                spellcheck={if props.is_code { "false" } else { "true" }} autocapitalize={props.is_code.then_some("none")} required={props.required}
                aria-invalid={props.error.is_some().then_some("true")} aria-describedby={described} />
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn it_has_its_text_and_says_what_is_wrong_with_it() {
        let area = render::<Area>(yew::props!(Props {
            id: "message",
            label: "Message",
            value: "{\n  \"a\": \"<b>\"\n}",
            oninput: Callback::noop(),
            hint: "A click.",
            error: Some("Must not be empty.".to_owned()),
            is_code: true,
        }))
        .await;
        for expected in [
            r#"<label for="message">Message</label>"#,
            r#"aria-describedby="message-error message-hint""#,
            r#"aria-invalid="true""#,
            r#"class="code""#,
            "&lt;b&gt;",
        ] {
            assert!(area.contains(expected), "{expected}: {area}");
        }
    }
}

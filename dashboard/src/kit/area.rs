//! A field of several lines: its label, what it is for, and what is wrong with it.

use web_sys::HtmlTextAreaElement;
use yew::prelude::*;

use super::labelled::labelled;

/// What the area shows.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Its name, unique on the page.
    pub id: AttrValue,
    /// What is entered.
    pub label: AttrValue,
    /// What stands in it.
    pub value: AttrValue,
    /// Hears what is entered.
    pub oninput: Callback<String>,
    /// What it is for.
    #[prop_or_default]
    pub hint: AttrValue,
    /// What is wrong with it.
    #[prop_or_default]
    pub error: Option<String>,
    /// Lines that are seen at once.
    #[prop_or(4)]
    pub lines: u32,
    /// It is a program's text, of letters of one width.
    #[prop_or_default]
    pub is_code: bool,
    /// Without it the form is not sent.
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

//! A field of a form: its label, its purpose, and its error.

use web_sys::HtmlInputElement;
use yew::prelude::*;

use super::labelled::labelled;

/// Properties of the field.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Its name, unique on the page.
    pub id: AttrValue,
    /// Label of the field.
    pub label: AttrValue,
    /// Text in the field.
    pub value: AttrValue,
    /// Hears what is entered.
    pub oninput: Callback<String>,
    /// Purpose of the field.
    #[prop_or_default]
    pub hint: AttrValue,
    /// Error of the input.
    #[prop_or_default]
    pub error: Option<String>,
    /// Type of the input, as HTML names it.
    #[prop_or(AttrValue::Static("text"))]
    pub kind: AttrValue,
    /// Kind of value that the browser may fill in.
    #[prop_or(AttrValue::Static("off"))]
    pub autocomplete: AttrValue,
    /// Example of an input.
    #[prop_or_default]
    pub placeholder: AttrValue,
    /// Input is required before the form is sent.
    #[prop_or_default]
    pub required: bool,
    /// Changes are not possible.
    #[prop_or_default]
    pub disabled: bool,
    /// The focus begins here.
    #[prop_or_default]
    pub first: bool,
}

/// The field.
#[component]
pub fn Field(props: &Props) -> Html {
    let node = use_node_ref();
    {
        let node = node.clone();
        use_effect_with(props.first, move |&first| {
            if first {
                // Without focus one has to click first: no harm.
                node.cast::<HtmlInputElement>().and_then(|field| field.focus().ok());
            }
        });
    }
    let oninput = props.oninput.reform(|event: InputEvent| {
        event.target_dyn_into::<HtmlInputElement>().map(|field| field.value()).unwrap_or_default()
    });
    labelled(&props.id, &props.label, &props.hint, props.error.as_deref(), |described| {
        html! {
            <input ref={node} id={&props.id} name={&props.id} type={&props.kind} value={&props.value} {oninput} autocomplete={&props.autocomplete} autocapitalize="none"
                spellcheck="false" placeholder={&props.placeholder} required={props.required} disabled={props.disabled}
                aria-invalid={props.error.is_some().then_some("true")} aria-describedby={described} />
        }
    })
}

/// Returns the text of a field, and the callback that changes it.
#[hook]
pub fn use_field(begin: &str) -> (String, Callback<String>) {
    let text = use_state(|| begin.to_owned());
    let change = {
        let text = text.setter();
        Callback::from(move |entered| text.set(entered))
    };
    ((*text).clone(), change)
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    fn props(hint: &'static str, error: Option<&str>) -> Props {
        yew::props!(Props {
            id: "name",
            label: "Name",
            value: "Northwind",
            oninput: Callback::noop(),
            hint,
            error: error.map(str::to_owned)
        })
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_at_the_field_and_read_with_it() {
        let calm = render::<Field>(props("", None)).await;
        assert!(calm.contains(r#"<label for="name">Name</label>"#) && !calm.contains("aria-"), "{calm}");
        let hinted = render::<Field>(props("For people.", None)).await;
        assert!(hinted.contains(r#"aria-describedby="name-hint""#), "{hinted}");
        let wrong = render::<Field>(props("For people.", Some("Must not be empty."))).await;
        assert!(wrong.contains(r#"aria-describedby="name-error name-hint""#), "{wrong}");
        assert!(wrong.contains(r#"aria-invalid="true""#) && wrong.contains("Must not be empty."), "{wrong}");
    }
}

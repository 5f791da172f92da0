//! A choice of one out of many options.

use web_sys::HtmlSelectElement;
use yew::prelude::*;

/// Properties of the choice.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Its name, unique on the page.
    pub id: AttrValue,
    /// Subject of the choice.
    pub label: AttrValue,
    /// Keys of the options, and their texts.
    pub options: Vec<(AttrValue, AttrValue)>,
    /// Key of the option that is chosen.
    pub value: AttrValue,
    /// Hears another key.
    pub onchoose: Callback<AttrValue>,
    /// The label is only read aloud: the option that is chosen is clear without it.
    #[prop_or_default]
    pub bare: bool,
}

/// The browser's own list.
#[component]
pub fn Select(props: &Props) -> Html {
    let onchange = props.onchoose.reform(|event: Event| {
        let chosen = event.target_dyn_into::<HtmlSelectElement>().map(|select| select.value());
        AttrValue::from(chosen.unwrap_or_default())
    });
    html! {
        <div class={if props.bare { "select bare" } else { "field select" }}>
            <label for={&props.id} class={props.bare.then_some("hidden")}>{ &props.label }</label>
            <select id={&props.id} {onchange} title={props.bare.then(|| props.label.clone())}>
                { for props.options.iter().map(|(key, text)| html! {
                    <option key={key.as_str()} value={key} selected={*key == props.value}>{ text }</option>
                }) }
            </select>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn the_choice_has_a_name_even_if_it_is_not_seen() {
        let props = |bare| {
            yew::props!(Props {
                id: "zone",
                label: "Time zone",
                options: vec![("UTC".into(), "UTC".into()), ("Asia/Tokyo".into(), "Tokyo".into())],
                value: "Asia/Tokyo",
                onchoose: Callback::noop(),
                bare
            })
        };
        let seen = render::<Select>(props(false)).await;
        assert!(seen.contains(r#"<label for="zone">Time zone</label>"#), "{seen}");
        assert!(seen.contains(r#"value="Asia/Tokyo" selected"#), "{seen}");
        let bare = render::<Select>(props(true)).await;
        assert!(bare.contains(r#"<label for="zone" class="hidden">"#), "{bare}");
    }
}

//! A choice of one out of a few options, all of them visible.

use yew::prelude::*;

/// Properties of the choice.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Subject of the choice.
    pub label: AttrValue,
    /// Keys of the options, and their texts.
    pub options: Vec<(AttrValue, AttrValue)>,
    /// Key of the option that is chosen.
    pub value: AttrValue,
    /// Hears another key.
    pub onchoose: Callback<AttrValue>,
}

/// The choices side by side.
#[component]
pub fn Segments(props: &Props) -> Html {
    html! {
        <div class="segments" role="group" aria-label={&props.label}>
            { for props.options.iter().map(|(key, text)| {
                let (chosen, onchoose) = (key.clone(), props.onchoose.clone());
                html! {
                    <button type="button" key={key.as_str()} data-key={key} aria-pressed={(*key == props.value).to_string()}
                        onclick={Callback::from(move |_: MouseEvent| onchoose.emit(chosen.clone()))}>{ text }</button>
                }
            }) }
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn the_one_that_is_chosen_is_pressed() {
        let props = Props {
            label: "Window".into(),
            options: vec![("1h".into(), "1h".into()), ("4h".into(), "4h".into())],
            value: "4h".into(),
            onchoose: Callback::noop(),
        };
        let segments = render::<Segments>(props).await;
        assert_eq!(segments.matches(r#"aria-pressed="true""#).count(), 1);
        assert!(segments.contains(r#"data-key="4h" aria-pressed="true""#), "{segments}");
    }
}

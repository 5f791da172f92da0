//! A choice of on or off that holds at once.

use yew::prelude::*;

/// Properties of the switch.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The text.
    pub text: AttrValue,
    /// The state.
    pub is_on: bool,
    /// Hears the other state.
    pub onswitch: Callback<bool>,
    /// Its name in tests.
    #[prop_or_default]
    pub testid: AttrValue,
}

/// The switch.
#[component]
pub fn Switch(props: &Props) -> Html {
    let other = !props.is_on;
    html! {
        <button type="button" class="switch" role="switch" aria-checked={props.is_on.to_string()} data-testid={&props.testid}
            onclick={props.onswitch.reform(move |_: MouseEvent| other)}>{ &props.text }</button>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn a_switch_says_whether_it_is_on() {
        let switch = async |is_on| {
            let props = Props { text: "Sound".into(), is_on, onswitch: Callback::noop(), testid: "".into() };
            render::<Switch>(props).await
        };
        assert!(switch(true).await.contains(r#"role="switch" aria-checked="true""#));
        assert!(switch(false).await.contains(r#"aria-checked="false""#));
    }
}

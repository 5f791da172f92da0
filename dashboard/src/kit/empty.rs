//! What stands where there is nothing yet: why, and what to do about it.

use yew::prelude::*;

/// What is said.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// What is not there.
    pub title: AttrValue,
    /// Why, or how it comes.
    #[prop_or_default]
    pub text: AttrValue,
    /// What to do about it.
    #[prop_or_default]
    pub children: Html,
}

/// The empty state.
#[component]
pub fn Empty(props: &Props) -> Html {
    html! {
        <div class="empty">
            <p class="empty-title">{ &props.title }</p>
            if !props.text.is_empty() {
                <p class="soft">{ &props.text }</p>
            }
            { props.children.clone() }
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn nothing_is_said_in_words() {
        let props = Props { title: "No keys yet.".into(), text: "".into(), children: html! {} };
        let empty = render::<Empty>(props).await;
        assert!(empty.contains("No keys yet.") && !empty.contains("soft"), "{empty}");
    }
}

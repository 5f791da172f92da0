//! The empty state of a page or list: the reason, and a way out of it.

use yew::prelude::*;

/// Properties of the empty state.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Title: the thing that is missing.
    pub title: AttrValue,
    /// Reason, or the way in which the thing comes.
    #[prop_or_default]
    pub text: AttrValue,
    /// Action that helps.
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

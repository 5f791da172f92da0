//! Content behind a heading, which is made only once it is opened: it may be long.

use web_sys::Element;
use yew::prelude::*;

/// Properties of the fold.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The heading.
    pub summary: AttrValue,
    /// Makes the content.
    pub content: Callback<(), Html>,
}

/// The fold.
#[component]
pub fn Fold(props: &Props) -> Html {
    let is_open = use_state_eq(|| false);
    let node = use_node_ref();
    let ontoggle = {
        let (is_open, node) = (is_open.setter(), node.clone());
        Callback::from(move |_: Event| {
            is_open.set(node.cast::<Element>().is_some_and(|details| details.has_attribute("open")));
        })
    };
    html! {
        <details class="fold" ref={node} {ontoggle}>
            <summary>{ &props.summary }</summary>
            if *is_open {
                { props.content.emit(()) }
            }
        </details>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn what_is_folded_is_not_made() {
        let content = Callback::from(|()| -> Html { unreachable!("nobody has opened it") });
        let fold = render::<Fold>(Props { summary: "As a table".into(), content }).await;
        assert_eq!(fold, r#"<details class="fold"><summary>As a table</summary></details>"#);
    }
}

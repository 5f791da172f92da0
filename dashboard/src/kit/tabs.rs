//! Parts of a page, one of them shown. They are links: each part has an address.

use yew::prelude::*;

use crate::router::{Link, Place};

/// A part.
#[derive(Clone, Debug, PartialEq)]
pub struct Tab {
    /// Text of the tab.
    pub text: AttrValue,
    /// Place of the part.
    pub to: Place,
    /// The part is shown.
    pub is_current: bool,
}

/// Properties of the tabs.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Name of the whole.
    pub label: AttrValue,
    /// The parts.
    pub tabs: Vec<Tab>,
}

/// The parts side by side.
#[component]
pub fn Tabs(props: &Props) -> Html {
    html! {
        <nav class="tabs" aria-label={&props.label}>
            { for props.tabs.iter().map(|tab| html! {
                <Link key={tab.text.as_str()} to={tab.to.clone()} current={tab.is_current}>{ &tab.text }</Link>
            }) }
        </nav>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn parts_are_links_and_one_is_current() {
        let tab = |text: &'static str, query, is_current| Tab {
            text: text.into(),
            to: Place::read("/incidents", query),
            is_current,
        };
        let tabs = vec![tab("Open", "", true), tab("All", "?p=all", false)];
        let tabs = render::<Tabs>(Props { label: "Incidents".into(), tabs }).await;
        assert!(
            tabs.contains(r#"href="/incidents""#) && tabs.contains(r#"href="/incidents?p=all""#),
            "{tabs}"
        );
        assert_eq!(tabs.matches(r#"aria-current="page""#).count(), 1, "{tabs}");
    }
}

//! The end of a list that comes in pages.

use yew::prelude::*;

use crate::words;

/// Properties of the pager.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Number of rows that are shown.
    pub shown: usize,
    /// There are more.
    pub has_more: bool,
    /// More are on their way.
    #[prop_or_default]
    pub is_loading: bool,
    /// Hears the wish for more.
    pub onmore: Callback<()>,
}

/// The number of rows, and the button for more; nothing below a table without rows, which gives the reason itself.
#[component]
pub fn Pager(props: &Props) -> Html {
    if props.shown == 0 {
        return html! {};
    }
    html! {
        <div class="pager">
            <span class="soft">{ words::rows(props.shown, props.has_more) }</span>
            if props.has_more {
                <button type="button" class="quiet" disabled={props.is_loading} onclick={props.onmore.reform(|_| ())}>{ words::MORE }</button>
            }
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn a_list_says_whether_it_is_whole() {
        let props = |shown, has_more| Props { shown, has_more, is_loading: false, onmore: Callback::noop() };
        let whole = render::<Pager>(props(1, false)).await;
        assert!(whole.contains("1 row<") && !whole.contains("button"), "{whole}");
        assert_eq!(render::<Pager>(props(0, false)).await, "");
        let part = render::<Pager>(props(1_000, true)).await;
        assert!(part.contains("the first 1,000 rows") && part.contains("button"), "{part}");
    }
}

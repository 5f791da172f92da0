//! Details beside a list: a column of its own where there is room, over the list where there is none.

use web_sys::HtmlElement;
use yew::prelude::*;

use super::icon;
use crate::words;

/// Properties of a drawer.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Its title.
    pub title: AttrValue,
    /// Hears that it is to be closed.
    pub onclose: Callback<()>,
    /// Its content.
    pub children: Html,
}

/// The drawer. Escape closes it.
#[component]
pub fn Drawer(props: &Props) -> Html {
    let node = use_node_ref();
    {
        let node = node.clone();
        use_effect_with((), move |()| {
            let active = web_sys::window().and_then(|window| window.document()?.active_element());
            // A form's first field may have the focus already.
            if let Some(drawer) = node.cast::<HtmlElement>()
                && !drawer.contains(active.as_ref().map(AsRef::as_ref))
            {
                drawer.focus().ok();
            }
        });
    }
    let onkeydown = {
        let onclose = props.onclose.clone();
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Escape" {
                event.stop_propagation();
                onclose.emit(());
            }
        })
    };
    html! {
        <section ref={node} class="drawer" tabindex="-1" aria-labelledby="drawer-title" {onkeydown}>
            <div class="drawer-head">
                <h2 id="drawer-title"><bdi>{ &props.title }</bdi></h2>
                <button type="button" class="plain" aria-label={words::CLOSE} onclick={props.onclose.reform(|_| ())}>{ icon("M4 4l8 8M12 4l-8 8") }</button>
            </div>
            <div class="drawer-body" tabindex="0">{ props.children.clone() }</div>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn a_drawer_has_a_name_and_a_way_out() {
        let props =
            Props { title: "An <incident>".into(), onclose: Callback::noop(), children: html! { "details" } };
        let drawer = render::<Drawer>(props).await;
        assert!(drawer.contains("An &lt;incident&gt;") && drawer.contains("details"), "{drawer}");
        assert!(drawer.contains(r#"aria-label="Close""#), "{drawer}");
    }
}

//! A dialog over everything, for what is entered by itself or can't be undone. The browser keeps the focus in
//! it, closes it with Escape, and gives the focus back.

use web_sys::HtmlDialogElement;
use yew::prelude::*;

use super::icon;
use crate::words;

/// Properties of a dialog.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Its title.
    pub title: AttrValue,
    /// Hears that it is to be closed.
    pub onclose: Callback<()>,
    /// Its content.
    pub children: Html,
}

/// The dialog, open as long as it is there.
#[component]
pub fn Dialog(props: &Props) -> Html {
    let node = use_node_ref();
    {
        let node = node.clone();
        use_effect_with((), move |()| {
            let dialog = node.cast::<HtmlDialogElement>();
            if let Some(dialog) = &dialog {
                // It fails on one that is open already.
                dialog.show_modal().ok();
            }
            // Closed before it is removed it gives the focus back.
            move || {
                if let Some(dialog) = dialog {
                    dialog.close();
                }
            }
        });
    }
    let oncancel = props.onclose.reform(|event: Event| event.prevent_default());
    html! {
        <dialog ref={node} class="dialog" aria-labelledby="dialog-title" {oncancel}>
            <div class="dialog-head">
                <h2 id="dialog-title">{ &props.title }</h2>
                <button type="button" class="plain" aria-label={words::CLOSE} onclick={props.onclose.reform(|_| ())}>{ icon("M4 4l8 8M12 4l-8 8") }</button>
            </div>
            { props.children.clone() }
        </dialog>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn a_dialog_has_a_name_and_a_way_out() {
        let props =
            Props { title: "New key".into(), onclose: Callback::noop(), children: html! { <p>{ "x" }</p> } };
        let dialog = render::<Dialog>(props).await;
        assert!(
            dialog.contains(r#"aria-labelledby="dialog-title""#) && dialog.contains("New key"),
            "{dialog}"
        );
        assert!(dialog.contains(r#"aria-label="Close""#), "{dialog}");
    }
}

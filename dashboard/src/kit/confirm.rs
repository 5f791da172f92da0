//! A question before what can't be undone.

use yew::prelude::*;

use super::Dialog;

/// Properties of the question.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Title: the action.
    pub title: AttrValue,
    /// Consequences of the action.
    pub text: AttrValue,
    /// Label of the button.
    pub action: AttrValue,
    /// Fields that must be filled in first.
    #[prop_or_default]
    pub children: Html,
    /// The action is under way.
    #[prop_or_default]
    pub is_busy: bool,
    /// Hears that the action is confirmed.
    pub onconfirm: Callback<()>,
    /// Hears that the action is refused.
    pub onclose: Callback<()>,
}

/// The question.
#[component]
pub fn Confirm(props: &Props) -> Html {
    let onsubmit = props.onconfirm.reform(|event: SubmitEvent| event.prevent_default());
    html! {
        <Dialog title={&props.title} onclose={props.onclose.clone()}>
            <form class="form" {onsubmit}>
                <p>{ &props.text }</p>
                { props.children.clone() }
                <div class="form-end">
                    <button type="submit" class="primary danger" disabled={props.is_busy}>{ &props.action }</button>
                </div>
            </form>
        </Dialog>
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn it_says_what_will_be_done_and_what_that_means() {
        let confirm = render::<Confirm>(yew::props!(Props {
            title: "Revoke the key?",
            text: "Programs with it are refused at once.",
            action: "Revoke",
            onconfirm: Callback::noop(),
            onclose: Callback::noop()
        }))
        .await;
        for expected in ["Revoke the key?", "refused at once", r#"class="primary danger">Revoke"#] {
            assert!(confirm.contains(expected), "{expected}: {confirm}");
        }
    }
}

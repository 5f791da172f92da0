//! A button with choices below it.

use wasm_bindgen::JsCast as _;
use web_sys::{HtmlElement, Node};
use yew::prelude::*;

/// A choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Key of the choice for [`Props::onchoose`].
    pub key: AttrValue,
    /// Text of the choice.
    pub text: AttrValue,
    /// The choice is on or off, and others may be too; `None`: it is something to do.
    pub is_checked: Option<bool>,
    /// The choice stays as it is.
    pub is_fixed: bool,
}

impl Item {
    /// A choice.
    pub fn new(key: impl Into<AttrValue>, text: impl Into<AttrValue>) -> Self {
        Self { key: key.into(), text: text.into(), is_checked: None, is_fixed: false }
    }

    /// Returns the choice as one that is on or off. The menu stays open when it is changed.
    pub fn checked(self, is_checked: bool) -> Self {
        Self { is_checked: Some(is_checked), ..self }
    }

    /// Returns the choice as one that stays as it is.
    pub fn fixed(self) -> Self {
        Self { is_fixed: true, ..self }
    }
}

/// Properties of the menu.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The button's content.
    pub button: Html,
    /// The button's name where its content is a sign.
    pub label: AttrValue,
    /// Content above the choices.
    #[prop_or_default]
    pub head: Html,
    /// The choices.
    pub items: Vec<Item>,
    /// Hears the key of the choice.
    pub onchoose: Callback<AttrValue>,
    /// The style of the button.
    #[prop_or(AttrValue::Static("quiet"))]
    pub style: AttrValue,
}

/// The menu: arrows move in it, Escape and whatever is outside close it.
#[component]
pub fn Menu(props: &Props) -> Html {
    let is_open = use_state_eq(|| false);
    let (root, list) = (use_node_ref(), use_node_ref());
    {
        let list = list.clone();
        use_effect_with(*is_open, move |&is_open| {
            if is_open {
                let first = list.cast::<web_sys::Element>().and_then(|list| list.first_element_child());
                focus(first);
            }
        });
    }
    let close = {
        let (is_open, root) = (is_open.clone(), root.clone());
        move || {
            is_open.set(false);
            focus(root.cast::<web_sys::Element>().and_then(|root| root.first_element_child()));
        }
    };
    let onkeydown = {
        let (is_open, close) = (is_open.clone(), close.clone());
        Callback::from(move |event: KeyboardEvent| {
            if !*is_open {
                return;
            }
            let at = event.target_dyn_into::<web_sys::Element>();
            match event.key().as_str() {
                "Escape" => close(),
                "ArrowDown" => focus(at.and_then(|at| at.next_element_sibling())),
                "ArrowUp" => focus(at.and_then(|at| at.previous_element_sibling())),
                _ => return,
            }
            event.prevent_default();
        })
    };
    let onfocusout = {
        let (is_open, root) = (is_open.clone(), root.clone());
        Callback::from(move |event: FocusEvent| {
            let to = event.related_target().and_then(|to| to.dyn_into::<Node>().ok());
            let stays = root.cast::<Node>().is_some_and(|root| root.contains(to.as_ref()));
            if !stays {
                is_open.set(false);
            }
        })
    };
    let toggle = {
        let is_open = is_open.clone();
        Callback::from(move |_: MouseEvent| is_open.set(!*is_open))
    };
    html! {
        <div class="menu" ref={root} {onkeydown} {onfocusout}>
            <button type="button" class={props.style.to_string()} aria-haspopup="menu" aria-expanded={is_open.to_string()}
                aria-label={&props.label} onclick={toggle}>{ props.button.clone() }</button>
            if *is_open {
                <div class="menu-panel">
                    { props.head.clone() }
                    <div role="menu" aria-label={&props.label} ref={list}>
                        { for props.items.iter().map(|item| entry(item, &props.onchoose, close.clone())) }
                    </div>
                </div>
            }
        </div>
    }
}

fn entry(item: &Item, onchoose: &Callback<AttrValue>, close: impl Fn() + 'static) -> Html {
    let (key, onchoose, is_checked, is_fixed) =
        (item.key.clone(), onchoose.clone(), item.is_checked, item.is_fixed);
    let onclick = Callback::from(move |_: MouseEvent| {
        if is_checked.is_none() {
            close();
        }
        if !is_fixed {
            onchoose.emit(key.clone());
        }
    });
    let role = if is_checked.is_some() { "menuitemcheckbox" } else { "menuitem" };
    html! {
        <button type="button" {role} key={item.key.as_str()} data-key={&item.key} aria-checked={is_checked.map(|is_checked| is_checked.to_string())}
            aria-disabled={is_fixed.then_some("true")} {onclick}>
            if let Some(is_checked) = is_checked {
                <span class="check" aria-hidden="true">{ if is_checked { "✓" } else { "" } }</span>
            }
            { &item.text }
        </button>
    }
}

fn focus(element: Option<web_sys::Element>) {
    // What can't have the focus leaves it where it is.
    element
        .and_then(|element| element.dyn_into::<HtmlElement>().ok())
        .and_then(|element| element.focus().ok());
}

#[cfg(test)]
mod tests {
    use super::{super::render, *};

    #[tokio::test]
    async fn a_closed_menu_says_that_it_can_be_opened() {
        let menu = render::<Menu>(yew::props!(Props {
            button: html! { "Anna" },
            label: "You",
            items: vec![Item::new("out", "Sign out")],
            onchoose: Callback::noop()
        }))
        .await;
        assert!(
            menu.contains(r#"aria-haspopup="menu""#) && menu.contains(r#"aria-expanded="false""#),
            "{menu}"
        );
        assert!(!menu.contains("Sign out"), "{menu}");
    }

    #[tokio::test]
    async fn a_choice_says_whether_it_is_on_and_whether_it_can_be_changed() {
        #[derive(Clone, PartialEq, Properties)]
        struct One {
            item: Item,
        }
        #[component]
        fn Entry(props: &One) -> Html {
            entry(&props.item, &Callback::noop(), || {})
        }
        let plain = Item::new("clicks", "Clicks");
        let said = async |item: &Item| render::<Entry>(One { item: item.clone() }).await;
        assert!(said(&plain).await.contains(r#"role="menuitem""#));
        let on = said(&plain.clone().checked(true).fixed()).await;
        assert!(on.contains(r#"role="menuitemcheckbox""#) && on.contains(r#"aria-checked="true""#), "{on}");
        assert!(on.contains(r#"aria-disabled="true""#) && on.contains("✓"), "{on}");
        assert!(said(&plain.checked(false)).await.contains(r#"aria-checked="false""#));
    }
}

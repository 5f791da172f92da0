//! Short news of a change at the edge of the page. It goes by itself; a failure is shown where it happened
//! instead.

use std::rc::Rc;

use gloo_timers::callback::Timeout;
use yew::prelude::*;

/// The time for which news is shown, in milliseconds.
const STANDS_MS: u32 = 5_000;

/// News, the oldest first.
#[derive(Default, PartialEq)]
struct News {
    next: u32,
    shown: Vec<(u32, AttrValue)>,
}

enum Step {
    Say(AttrValue),
    Forget(u32),
}

impl Reducible for News {
    type Action = Step;

    fn reduce(self: Rc<Self>, step: Step) -> Rc<Self> {
        let (mut next, mut shown) = (self.next, self.shown.clone());
        match step {
            Step::Say(text) => {
                shown.push((next, text));
                next += 1;
            }
            Step::Forget(number) => shown.retain(|(known, _)| *known != number),
        }
        Rc::new(Self { next, shown })
    }
}

/// The callback that shows news to the viewer.
#[derive(Clone, PartialEq)]
struct Toaster(Callback<AttrValue>);

/// Properties of the place of the news.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// Content that may show news.
    pub children: Html,
}

/// The place of the news, around the content that may show some.
#[component]
pub fn Toasts(props: &Props) -> Html {
    let news = use_reducer(News::default);
    let toaster = use_memo((), |()| {
        let dispatcher = news.dispatcher();
        Toaster(Callback::from(move |text| dispatcher.dispatch(Step::Say(text))))
    });
    html! {
        <ContextProvider<Toaster> context={(*toaster).clone()}>
            { props.children.clone() }
            <div class="toasts" role="status" aria-live="polite">
                { for news.shown.iter().map(|(number, text)| {
                    let (number, dispatcher) = (*number, news.dispatcher());
                    let onend = Callback::from(move |()| dispatcher.dispatch(Step::Forget(number)));
                    html! { <Toast key={number} text={text.clone()} {onend} /> }
                }) }
            </div>
        </ContextProvider<Toaster>>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct ToastProps {
    text: AttrValue,
    onend: Callback<()>,
}

#[component]
fn Toast(props: &ToastProps) -> Html {
    {
        let onend = props.onend.clone();
        use_effect_with((), move |()| {
            let timeout = Timeout::new(STANDS_MS, move || onend.emit(()));
            move || drop(timeout)
        });
    }
    html! { <p class="toast">{ &props.text }</p> }
}

/// Returns the callback that shows news to the viewer.
#[hook]
pub fn use_toast() -> Callback<AttrValue> {
    use_context::<Toaster>().map_or_else(Callback::noop, |toaster| toaster.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_goes_in_any_order() {
        let news = Rc::new(News::default());
        let news = news.reduce(Step::Say("one".into())).reduce(Step::Say("two".into()));
        let news = news.reduce(Step::Forget(0)).reduce(Step::Say("three".into()));
        assert_eq!(news.shown, [(1, "two".into()), (2, "three".into())]);
    }

    #[tokio::test]
    async fn the_place_of_news_is_there_before_there_is_any() {
        let toasts = super::super::render::<Toasts>(Props { children: html! {} }).await;
        assert!(toasts.contains(r#"role="status""#), "{toasts}");
    }
}

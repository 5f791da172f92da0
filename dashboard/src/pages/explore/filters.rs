//! Conditions of a report, each a chip, and the dialog that adds one.

use std::rc::Rc;

use clickwire_protocol::report::Dimension;
use yew::prelude::*;

use super::{super::on_submit, rows::Names};
use crate::{
    frame::View,
    kit::{Chip, Dialog, Field, Segments, Select, use_field},
    query::{Filter, short},
    router::use_router,
    words,
};

/// Properties of the chips.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The address.
    pub(super) view: View,
    /// Names of campaigns.
    pub(super) names: Rc<Names>,
}

/// The chips.
#[component]
pub(super) fn Filters(props: &Props) -> Html {
    let router = use_router();
    let adds = use_state_eq(|| false);
    let chip = |filter: &Filter| {
        let text = props.names.filter(filter);
        let (router, dimension) = (router.clone(), filter.dimension);
        let onremove = Callback::from(move |()| {
            router.change(|query| query.filters.retain(|known| known.dimension != dimension));
        });
        html! { <Chip key={short(dimension)} {text} {onremove} /> }
    };
    let close = super::super::sets(&adds, false);
    html! {
        <div class="chips" data-testid="filters">
            { for props.view.place.query.filters.iter().map(chip) }
            <button type="button" class="quiet small" onclick={super::super::sets(&adds, true).reform(|_: MouseEvent| ())}>{ words::ADD_FILTER }</button>
            if *adds {
                <Add names={props.names.clone()} onclose={close} />
            }
        </div>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct AddProps {
    names: Rc<Names>,
    onclose: Callback<()>,
}

/// The dialog that adds a condition.
#[component]
fn Add(props: &AddProps) -> Html {
    let router = use_router();
    let dimension = use_state_eq(|| Dimension::Country);
    let excludes = use_state_eq(|| false);
    let (values, onvalues) = use_field("");
    let options =
        Dimension::FILTERS.map(|known| (short(known).into(), words::dimension(known).into())).to_vec();
    let wanted = entered(*dimension, &values);
    let onsubmit = {
        let (onclose, dimension, is_exclusion) = (props.onclose.clone(), *dimension, *excludes);
        on_submit(move || {
            if !wanted.is_empty() {
                let values = wanted.clone();
                onclose.emit(());
                router.change(|query| query.set_filter(Filter { dimension, values, is_exclusion }));
            }
        })
    };
    let ondimension = {
        let dimension = dimension.clone();
        Callback::from(move |chosen: AttrValue| {
            if let Some(known) = Dimension::FILTERS.into_iter().find(|known| short(*known) == chosen) {
                dimension.set(known);
            }
        })
    };
    let onexcludes = {
        let excludes = excludes.clone();
        Callback::from(move |chosen: AttrValue| excludes.set(chosen == "not"))
    };
    let modes = vec![("is".into(), words::ONLY.into()), ("not".into(), words::ALL_BUT.into())];
    html! {
        <Dialog title={words::ADD_FILTER} onclose={props.onclose.clone()}>
            <form class="form" {onsubmit}>
                <Select id="filter-dimension" label={words::DIMENSION} {options} value={short(*dimension)} onchoose={ondimension} />
                <Segments label={words::CONDITION} options={modes} value={if *excludes { "not" } else { "is" }} onchoose={onexcludes} />
                <Field id="filter-values" label={words::VALUES} value={values} oninput={onvalues} required=true first=true hint={words::values_hint(*dimension)} />
                <div class="form-end"><button type="submit" class="primary">{ words::SHOW }</button></div>
            </form>
        </Dialog>
    }
}

/// Values as they are entered; the server checks them. The protocol's own check would bring the names of all
/// countries into the page.
fn entered(dimension: Dimension, text: &str) -> Vec<String> {
    let values = super::super::listed(text);
    match dimension {
        Dimension::Country => values.iter().map(|value| value.to_ascii_uppercase()).collect(),
        _ => values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_apart() {
        assert_eq!(entered(Dimension::Country, "de, fr,"), ["DE", "FR"]);
        assert_eq!(entered(Dimension::Os, " Windows 10 "), ["Windows 10"]);
        assert!(entered(Dimension::AdId, " , ").is_empty());
    }
}

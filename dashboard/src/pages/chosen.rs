//! The row of a list that an address names. It may be on any page of the list: where the pages that are loaded don't
//! have it, the API is asked for it alone.

use serde::de::DeserializeOwned;
use yew::prelude::*;

use crate::{
    ask::{Answer, List, use_query},
    http::Failure,
    kit::{Empty, Loaded, Problem},
    words::{self, Text},
};

/// The row, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Chosen<R> {
    /// The row.
    Known(R),
    /// The API is asked for it.
    Sought,
    /// There is none.
    Missing,
    /// The API could not be asked.
    Failed(Failure),
}

impl<R> Chosen<R> {
    /// Returns the row.
    pub(super) fn row(&self) -> Option<&R> {
        if let Self::Known(row) = self { Some(row) } else { None }
    }

    /// Returns the state of a row that is not known, for the place of its details.
    pub(super) fn state(&self, missing: Text, onretry: &Callback<()>) -> Html {
        match self {
            Self::Known(_) => html! {},
            Self::Sought => html! { <p class="soft" role="status">{ words::LOOKING }</p> },
            Self::Missing => html! { <Empty title={missing} /> },
            Self::Failed(failure) => {
                html! { <Problem failure={failure.clone()} onretry={onretry.clone()} /> }
            }
        }
    }
}

/// Reads the answer to the question for one row; `row_of` returns the answer's row, which may be another one.
fn read<R: Clone, T>(
    answer: &Answer<T>,
    is_it: impl Fn(&R) -> bool,
    row_of: fn(&T) -> Option<&R>,
) -> Chosen<R> {
    match (&answer.data, &answer.failure) {
        (Some(data), _) => {
            row_of(data).filter(|row| is_it(row)).cloned().map_or(Chosen::Missing, Chosen::Known)
        }
        (None, Some(failure)) if failure.status() == Some(404) => Chosen::Missing,
        // No row can have such an id.
        (None, Some(Failure::Invalid(_))) => Chosen::Missing,
        (None, Some(failure)) => Chosen::Failed(failure.clone()),
        (None, None) => Chosen::Sought,
    }
}

/// A row of a list and the callback that asks for it again. `url` is the question for the row alone; `None`: no row
/// can have such a name.
#[hook]
pub(super) fn use_chosen<R, T>(
    list: &List<R>,
    is_it: impl Fn(&R) -> bool,
    url: Option<String>,
    row_of: fn(&T) -> Option<&R>,
) -> (Chosen<R>, Callback<()>)
where
    R: Clone + 'static,
    T: DeserializeOwned + 'static,
{
    let listed = list.rows.iter().find(|row| is_it(row)).cloned();
    let is_asked = listed.is_none() && list.loaded() != Loaded::NotYet;
    let can_exist = url.is_some();
    let answer = use_query::<T>(url.filter(|_| is_asked));
    let chosen = match listed {
        Some(row) => Chosen::Known(row),
        None if !can_exist => Chosen::Missing,
        None if is_asked => read(&answer, is_it, row_of),
        None => Chosen::Sought,
    };
    (chosen, answer.reload)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use clickwire_protocol::click::Rejection;

    use super::*;
    use crate::{api::Page, kit::render};

    fn answer(data: Option<&[i64]>, failure: Option<Failure>) -> Answer<Page<i64>> {
        let data = data.map(|rows| Rc::new(Page { data: rows.to_vec(), next: None }));
        Answer { data, stale: None, failure, is_loading: false, reload: Callback::noop() }
    }

    fn refused(status: u16) -> Failure {
        Failure::Refused { status, code: "x".into(), message: "No.".into(), reason: None }
    }

    #[test]
    fn only_the_api_says_that_a_row_does_not_exist() {
        let told = |data: Option<&[i64]>, failure| {
            read(&answer(data, failure), |row| *row == 7, |page| page.data.first())
        };
        assert_eq!(told(None, None), Chosen::Sought);
        assert_eq!(told(Some(&[7]), None), Chosen::Known(7));
        assert_eq!(told(Some(&[]), None), Chosen::Missing);
        assert_eq!(told(Some(&[6]), None), Chosen::Missing, "the row before it");
        assert_eq!(told(None, Some(Failure::Invalid(Rejection::form("no id")))), Chosen::Missing);
        assert_eq!(told(None, Some(refused(404))), Chosen::Missing);
        assert_eq!(told(None, Some(Failure::Away)), Chosen::Failed(Failure::Away), "nobody knows");
        assert_eq!(told(Some(&[7]), Some(Failure::Away)), Chosen::Known(7), "it was there before");
    }

    #[derive(Clone, PartialEq, Properties)]
    struct GivenProps {
        rows: Vec<i64>,
        is_loading: bool,
    }

    /// The row 7 of a list with another page.
    #[component]
    fn Given(props: &GivenProps) -> Html {
        let list = List {
            rows: Rc::new(props.rows.clone()),
            failure: None,
            is_loading: props.is_loading,
            has_more: true,
            is_short: false,
            more: Callback::noop(),
            reload: Callback::noop(),
        };
        let (chosen, again) =
            use_chosen::<_, Page<i64>>(&list, |row| *row == 7, Some("/7".into()), |page| page.data.first());
        html! { <>{ for chosen.row() }{ chosen.state(words::NO_SUCH_ACCOUNT, &again) }</> }
    }

    #[tokio::test]
    async fn a_row_beyond_the_pages_that_are_loaded_is_looked_for() {
        let shown = async |rows: &[i64], is_loading| {
            render::<Given>(GivenProps { rows: rows.to_vec(), is_loading }).await
        };
        for (rows, is_loading) in [([].as_slice(), true), (&[1, 2], false), (&[1, 2], true)] {
            let shown = shown(rows, is_loading).await;
            assert!(shown.contains(words::LOOKING.get()), "{rows:?}: {shown}");
            assert!(!shown.contains(words::NO_SUCH_ACCOUNT.get()), "{rows:?}: {shown}");
        }
        assert_eq!(shown(&[1, 7], true).await, "7");
    }
}

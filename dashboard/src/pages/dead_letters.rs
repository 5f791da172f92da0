//! `/dead-letters`: messages that could not be counted. An operator reads one and replays it, edited if need be, or
//! dismisses it.

mod letter;

use clickwire_protocol::dead_letters::Page;
use yew::prelude::*;

use super::{Sheet, id, name};
use crate::{
    ask::{use_interval, use_pages},
    format,
    frame::View,
    incidents::Open,
    kit::{Column, Drawer, Empty, Pager, Problem, Table},
    route::Route,
    router::{Link, Place, use_router},
    words,
};

const LETTERS: &str = "/api/v1/admin/dead-letters";

/// Interval between two requests for the list, in milliseconds: another operator may handle dead letters, too.
const AGAIN_MS: u32 = 10_000;

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
    /// Sequence number of the chosen dead letter.
    pub sequence: Option<u64>,
}

/// The page.
#[component]
pub fn DeadLetters(props: &Props) -> Html {
    let router = use_router();
    let list = use_pages::<Page>(Some(format!("{LETTERS}?limit=100")));
    let news = use_context::<Open>().unwrap_or_default().version;
    {
        // That letters wait is an incident: the page hears of new ones at once.
        let reload = list.reload.clone();
        let is_first = use_mut_ref(|| true);
        use_effect_with(news, move |_| {
            if !is_first.replace(false) {
                reload.emit(());
            }
        });
    }
    // A list of several pages stays as it is, under the eyes of who goes through it.
    use_interval(if list.is_short { AGAIN_MS } else { 0 }, list.reload.clone());
    let query = props.view.place.query.clone();
    let at = move |sequence: Option<u64>| Place::new(Route::DeadLetters(sequence), query.clone());
    let close = {
        let to = at(None);
        Callback::from(move |()| router.go(to.clone()))
    };
    let aside = props.sequence.map(|sequence| {
        html! {
            <Drawer title={words::letter(sequence)} onclose={close.clone()} key={sequence.to_string()}>
                <letter::Letter {sequence} view={props.view.clone()} onchanged={list.reload.clone()} onclose={close.clone()} />
            </Drawer>
        }
    });
    let row = {
        let (rows, zone) = (list.rows.clone(), props.view.zone.clone());
        Callback::from(move |index: usize| {
            let letter = &rows[index];
            vec![
                html! { <Link to={at(Some(letter.sequence))}>{ words::letter_code(letter.code.as_deref()) }</Link> },
                name(letter.reason.as_deref().unwrap_or_default()),
                html! { zone.stamp(&letter.stored_at) },
                html! { letter.subject.clone().unwrap_or_default() },
                html! { format::bytes(letter.size_bytes as f64) },
                letter.click_id.map_or_else(Html::default, |click_id| id(&click_id.to_string())),
                html! { letter.sequence },
            ]
        })
    };
    let columns = vec![
        Column::text(words::WHY),
        Column::text(words::DETAIL),
        Column::text(words::SET_ASIDE),
        Column::text(words::STREAM_SUBJECT),
        Column::number(words::SIZE),
        Column::text(words::CLICK_ID),
        Column::number(words::SEQUENCE),
    ];
    html! {
        <Sheet title={words::DEAD_LETTERS} {aside}>
            if let Some(failure) = list.failure.clone() {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            <Table caption={words::DEAD_LETTERS} {columns} rows={list.rows.len()} {row} loaded={list.loaded()}
                selected={list.rows.iter().position(|letter| Some(letter.sequence) == props.sequence)}
                empty={html! { <Empty title={words::NO_DEAD_LETTERS} text={words::NO_DEAD_LETTERS_WHY} /> }} />
            <Pager shown={list.rows.len()} has_more={list.has_more} is_loading={list.is_loading} onmore={list.more.clone()} />
        </Sheet>
    }
}

//! `/storage`: disk use, retention of data, and the outcome of the last round of housekeeping. Read-only: retention
//! is set in the aggregator's environment.

use std::rc::Rc;

use clickwire_protocol::storage::{Housekeeping, Removal, Storage as Measured, TableStorage};
use yew::prelude::*;

use super::{Sheet, id};
use crate::{
    ask::{use_interval, use_query},
    format,
    frame::View,
    kit::{Badge, Column, Problem, Table, Tone},
    words,
    zone::Zone,
};

/// Interval between two requests, in milliseconds: the server measures every 10 s at most.
const ASK_EVERY_MS: u32 = 30_000;

/// Days that a chunk may begin before the retention period and not be overdue: the longest chunk has seven days, and
/// housekeeping may be late by one.
const CHUNK_DAYS: i64 = 8;

/// Percentages of a limit from which on it is to be watched, and to be acted on.
const WATCHED_PERCENT: u64 = 50;
const FULL_PERCENT: u64 = 80;

const DAY_MS: i64 = 86_400_000;

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// The page.
#[component]
pub fn Storage(props: &Props) -> Html {
    let answer = use_query::<Measured>(Some("/api/v1/admin/storage".to_owned()));
    use_interval(ASK_EVERY_MS, answer.reload.clone());
    let zone = &props.view.zone;
    let measured = answer.data.clone();
    let actions = measured
        .as_ref()
        .map(|measured| html! { <span class="soft keys">{ words::measured_at(&zone.stamp_ms(measured.at_ms), ASK_EVERY_MS / 1_000) }</span> });
    let rows: Rc<Vec<TableStorage>> =
        Rc::new(measured.as_ref().map(|measured| measured.tables.clone()).unwrap_or_default());
    let (database_bytes, at_ms) =
        measured.as_ref().map_or((0, 0), |measured| (measured.database_bytes, measured.at_ms));
    let row = {
        let (rows, zone) = (rows.clone(), zone.clone());
        Callback::from(move |index: usize| row(&rows[index], database_bytes, at_ms, &zone))
    };
    let columns = vec![
        Column::text(words::TABLE),
        Column::text(words::HOLDS),
        Column::number(words::SIZE),
        Column::number(words::SHARE),
        Column::number(words::CHUNKS),
        Column::text(words::OLDEST),
        Column::text(words::KEPT_FOR),
        Column::text(words::SETTING),
        Column::text(words::REMOVED_BY),
    ];
    html! {
        <Sheet title={words::STORAGE} actions={actions.unwrap_or_default()}>
            if let Some(failure) = answer.failure.clone() {
                <Problem {failure} onretry={answer.reload.clone()} />
            }
            if let Some(measured) = &measured {
                { strip(measured, zone) }
            }
            <Table caption={words::TABLES_OF_DATABASE} {columns} rows={rows.len()} {row} loaded={answer.loaded()}
                foot={measured.as_ref().map(|measured| foot(measured)).unwrap_or_default()} />
            <p class="soft">{ words::STORAGE_SETTINGS }{ " " }{ words::STREAM_LIMIT_WHY }{ " " }{ words::SPOOL_LIMIT_WHY }</p>
            if let Some(measured) = &measured {
                { round(measured.housekeeping.as_ref(), zone) }
            }
        </Sheet>
    }
}

/// Returns the tone of a share of a limit; `None`: the share is as it should be.
fn filled(bytes: u64, limit: Option<u64>) -> Option<Tone> {
    match words::filled(bytes, limit?) {
        FULL_PERCENT.. => Some(Tone::Critical),
        WATCHED_PERCENT.. => Some(Tone::Warning),
        _ => None,
    }
}

/// A number of the strip: label, value, text below it, tone.
struct Figure {
    testid: &'static str,
    label: &'static str,
    value: Option<String>,
    below: String,
    tone: Option<Tone>,
}

fn strip(measured: &Measured, zone: &Zone) -> Html {
    let figure = |testid, label, value: Option<String>, below: String, tone| Figure {
        testid,
        label,
        value,
        below,
        tone,
    };
    let stream = measured.stream.as_ref();
    let mut figures = vec![
        figure(
            "database-bytes",
            words::DATABASE_SIZE.get(),
            Some(format::bytes(measured.database_bytes as f64)),
            String::new(),
            None,
        ),
        figure(
            "stream-bytes",
            words::STREAM_SIZE.get(),
            stream.map(|stream| format::bytes(stream.bytes as f64)),
            stream.map_or_else(
                || words::NOT_KNOWN.to_string(),
                |stream| words::bytes_of(stream.bytes, stream.max_bytes),
            ),
            stream.and_then(|stream| filled(stream.bytes, stream.max_bytes)),
        ),
    ];
    if let Some(spool) = &measured.spool {
        let free = spool.free_bytes.zip(spool.disk_bytes);
        figures.push(figure(
            "spool-bytes",
            words::SPOOL_SIZE.get(),
            Some(format::bytes(spool.bytes as f64)),
            words::bytes_of(spool.bytes, Some(spool.max_bytes)),
            filled(spool.bytes, Some(spool.max_bytes)),
        ));
        figures.push(figure(
            "free-bytes",
            words::FREE_DISK.get(),
            spool.free_bytes.map(|bytes| format::bytes(bytes as f64)),
            spool.directory.clone(),
            free.and_then(|(free, all)| filled(all.saturating_sub(free), Some(all)))
                .filter(|tone| *tone == Tone::Critical),
        ));
    }
    let (value, below, tone) = match measured.housekeeping.as_ref() {
        None => (None, words::NOT_KNOWN.to_string(), None),
        Some(round) => {
            let is_done = round.is_done("retention").unwrap_or_default();
            let (text, tone) = if is_done {
                (words::RETENTION_DONE, None)
            } else {
                (words::RETENTION_FAILED, Some(Tone::Critical))
            };
            (
                Some(text.to_string()),
                words::last_round(&zone.stamp_ms(round.at_ms), round.every_seconds),
                tone,
            )
        }
    };
    figures.push(figure("retention", words::RETENTION.get(), value, below, tone));
    html! {
        <dl class="strip">
            { for figures.into_iter().map(|figure| html! {
                <div class="figure" key={figure.testid}>
                    <dt>{ figure.label }</dt>
                    <dd data-testid={figure.testid}>
                        { figure.value.unwrap_or_else(|| "–".to_owned()) }
                        if let Some(tone) = figure.tone {
                            { " " }<Badge text={if tone == Tone::Critical { words::CRITICAL } else { words::WARNING }} {tone} />
                        }
                        if !figure.below.is_empty() {
                            <span class="before">{ figure.below }</span>
                        }
                    </dd>
                </div>
            }) }
        </dl>
    }
}

/// Returns whether the oldest chunk should have been dropped by now.
fn is_overdue(table: &TableStorage, at_ms: i64) -> bool {
    let (Some(oldest_ms), Some(days)) = (table.oldest_ms, table.days) else { return false };
    table.removal == Removal::Chunks
        && days > 0
        && at_ms - oldest_ms > (i64::from(days) + CHUNK_DAYS) * DAY_MS
}

fn share(bytes: i64, of: i64) -> f64 {
    if of > 0 { bytes as f64 / of as f64 } else { 0.0 }
}

fn row(table: &TableStorage, database_bytes: i64, at_ms: i64, zone: &Zone) -> Vec<Html> {
    let share = share(table.bytes, database_bytes);
    let bytes = format::bytes(table.bytes as f64);
    vec![
        id(&table.table),
        html! { words::table_holds(&table.table) },
        html! { <span class="measure"><span class="measure-bar" style={format!("width:{:.1}%", share * 100.0)} /><span>{ bytes }</span></span> },
        html! { format::percent(Some(share)) },
        table.chunks.map_or_else(
            || html! { "–" },
            |chunks| html! { words::chunks_of(chunks, table.compressed_chunks.unwrap_or(0)) },
        ),
        html! {
            <span class="badges">
                { table.oldest_ms.map_or_else(|| "–".to_owned(), |oldest_ms| zone.stamp_ms(oldest_ms)) }
                if is_overdue(table, at_ms) {
                    <span title={words::OVERDUE_WHY}><Badge text={words::OVERDUE} tone={Tone::Warning} /></span>
                }
            </span>
        },
        html! { words::kept_for(table) },
        table.setting.as_deref().map_or_else(|| html! { "–" }, id),
        html! { words::removed_by(table) },
    ]
}

/// The foot of the table: the bytes in no row, and the whole database.
fn foot(measured: &Measured) -> Html {
    let listed: i64 = measured.tables.iter().map(|table| table.bytes).sum();
    let line = |label: &str, bytes: i64| {
        html! {
            <tr>
                <th scope="row" colspan="2">{ label }</th>
                <td class="n">{ format::bytes(bytes as f64) }</td>
                <td class="n">{ format::percent(Some(share(bytes, measured.database_bytes))) }</td>
                <td colspan="5" />
            </tr>
        }
    };
    html! {
        <tfoot>
            { line(&words::OTHER_TABLES, (measured.database_bytes - listed).max(0)) }
            { line(&words::WHOLE_DATABASE, measured.database_bytes) }
        </tfoot>
    }
}

/// The tasks of the last round.
fn round(round: Option<&Housekeeping>, zone: &Zone) -> Html {
    let Some(round) = round else { return html! { <p class="soft">{ words::RETENTION_NEVER_SEEN }</p> } };
    html! {
        <div class="part" data-testid="housekeeping">
            <h2>{ words::TASKS }</h2>
            <p class="soft">{ words::last_round(&zone.stamp_ms(round.at_ms), round.every_seconds) }</p>
            <dl class="facts">
                { for round.tasks.iter().map(|task| html! {
                    <>
                        <dt>{ words::housekeeping_task(&task.task) }</dt>
                        <dd>
                            if task.is_done {
                                <Badge text={words::RETENTION_DONE} tone={Tone::Good} />
                            } else {
                                <Badge text={words::RETENTION_FAILED} tone={Tone::Critical} />
                            }
                        </dd>
                    </>
                }) }
            </dl>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(removal: Removal, days: Option<u32>, oldest_ms: Option<i64>) -> TableStorage {
        TableStorage {
            table: "clicks".to_owned(),
            bytes: 1,
            chunks: Some(1),
            compressed_chunks: Some(0),
            oldest_ms,
            removal,
            setting: None,
            days,
        }
    }

    #[test]
    fn a_chunk_that_should_be_gone_is_overdue() {
        let now = 100 * DAY_MS;
        for (removal, days, oldest_day, expected) in [
            (Removal::Chunks, Some(30), 69, false),
            (Removal::Chunks, Some(30), 62, false),
            (Removal::Chunks, Some(30), 61, true),
            (Removal::Chunks, Some(0), 1, false),
            (Removal::Chunks, None, 1, false),
            (Removal::Rows, Some(1), 1, false),
        ] {
            let table = table(removal, days, Some(oldest_day * DAY_MS));
            assert_eq!(is_overdue(&table, now), expected, "{removal:?} {days:?} {oldest_day}");
        }
        assert!(!is_overdue(&table(Removal::Chunks, Some(30), None), now), "a table without chunks");
    }

    #[test]
    fn what_is_nearly_full_is_said_to_be() {
        for (bytes, limit, expected) in [
            (49, Some(100), None),
            (50, Some(100), Some(Tone::Warning)),
            (80, Some(100), Some(Tone::Critical)),
            (80, None, None),
            (0, Some(0), None),
        ] {
            assert_eq!(filled(bytes, limit), expected, "{bytes} of {limit:?}");
        }
        assert_eq!([share(1, 4), share(1, 0)], [0.25, 0.0]);
    }
}

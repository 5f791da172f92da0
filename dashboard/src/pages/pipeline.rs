//! `/pipeline`: a click's way from intake to screens, stage by stage: each stage's state by its rule, and its numbers
//! in the last hour. Unknown values are absent, never zero.

pub(super) mod trend;

use clickwire_protocol::pipeline::{Pipeline as Measured, PipelinePoint, PipelineServer, StageState};
use yew::prelude::*;

use self::trend::Trend;
use super::{Sheet, id, name};
use crate::{
    ask::{use_interval, use_query},
    clock, format,
    frame::View,
    kit::{Badge, Column, Loaded, Problem, Table, Tone},
    words,
};

/// Interval between two requests, in milliseconds: two of them per measurement of the server.
const ASK_EVERY_MS: u32 = 5_000;

/// Measurements that may be missed before the shown numbers count as old.
const MISSED: i64 = 3;

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// The page.
#[component]
pub fn Pipeline(props: &Props) -> Html {
    let answer = use_query::<Measured>(Some("/api/v1/admin/pipeline".to_owned()));
    use_interval(ASK_EVERY_MS, answer.reload.clone());
    let zone = &props.view.zone;
    let actions = answer.data.as_ref().and_then(|measured| Some((measured, measured.at_ms?))).map(
        |(measured, at_ms)| {
            let stamp = zone.stamp_ms(at_ms);
            let is_old = clock::now_ms() - at_ms > MISSED * 1_000 * i64::from(measured.every_seconds);
            if is_old || answer.failure.is_some() {
                html! { <Badge text={words::measured_then(&stamp)} tone={Tone::Warning} /> }
            } else {
                html! { <span class="soft keys">{ words::measured_at(&stamp, measured.every_seconds) }</span> }
            }
        },
    );
    html! {
        <Sheet title={words::PIPELINE} actions={actions.unwrap_or_default()}>
            if let Some(failure) = answer.failure.clone() {
                <Problem {failure} onretry={answer.reload.clone()} />
            }
            if let Some(measured) = &answer.data {
                if measured.stages.is_none() {
                    <p class="soft" role="status">{ words::MEASURING }</p>
                }
                <div class="tiles">{ tiles(measured, &props.view) }</div>
                { servers(&measured.servers, &props.view) }
            } else if answer.failure.is_none() {
                <div class="tiles"><div class="tile"><span class="skeleton line" /></div></div>
            }
        </Sheet>
    }
}

/// A number of a stage, with its last hour.
struct Measure {
    /// Its name in tests.
    testid: &'static str,
    label: words::Text,
    now: Option<f64>,
    of: fn(&PipelinePoint) -> Option<f64>,
    text: fn(f64) -> String,
}

/// The contents of a tile.
struct Tile {
    title: words::Text,
    state: StageState,
    rule: String,
    measures: Vec<Measure>,
    facts: Vec<(words::Text, String)>,
}

fn count(value: f64) -> String {
    format::count(value as i64)
}

fn behind(ms: f64) -> String {
    words::behind(ms as i64)
}

fn whole(value: Option<impl Into<i128>>) -> Option<f64> {
    value.map(|value| value.into() as f64)
}

fn tiles(measured: &Measured, view: &View) -> Html {
    let Some(stages) = &measured.stages else { return html! {} };
    let limits = &measured.limits;
    let stamp = |at: &Option<String>| at.as_ref().map(|at| view.zone.stamp(at));
    let mut database = vec![];
    if stages.database.bytes.is_some() {
        let jobs = stages.database.idle_jobs.iter().map(|idle| words::idle_job(&idle.job, &idle.state));
        let jobs = jobs.collect::<Vec<_>>().join(", ");
        database.push((words::IDLE_JOBS, if jobs.is_empty() { words::NONE_IDLE.to_string() } else { jobs }));
    }
    if let Some(is_rolled_up) = stages.database.is_rolled_up {
        let text = if is_rolled_up { words::IN_TIME } else { words::LATE };
        database.push((words::ROLLED_UP, text.to_string()));
    }
    let tiles = [
        Tile {
            title: words::STAGE_INTAKE,
            state: stages.intake.state,
            rule: words::RULE_INTAKE.to_string(),
            measures: vec![
                Measure {
                    testid: "accepted",
                    label: words::ACCEPTED_PER_SECOND,
                    now: stages.intake.accepted_per_second,
                    of: |point| point.accepted_per_second,
                    text: format::per_second,
                },
                Measure {
                    testid: "spooled",
                    label: words::SPOOLED,
                    now: Some(stages.intake.spooled as f64),
                    of: |point| whole(point.spooled),
                    text: count,
                },
            ],
            facts: vec![(words::LOST, format::count(stages.intake.lost))],
        },
        Tile {
            title: words::STAGE_STREAM,
            state: stages.stream.state,
            rule: words::rule_full(limits),
            measures: vec![
                Measure {
                    testid: "stored",
                    label: words::STORED_PER_SECOND,
                    now: stages.stream.stored_per_second,
                    of: |point| point.stored_per_second,
                    text: format::per_second,
                },
                Measure {
                    testid: "stream-bytes",
                    label: words::SIZE,
                    now: whole(stages.stream.bytes),
                    of: |point| whole(point.stream_bytes),
                    text: format::bytes,
                },
            ],
            facts: stages
                .stream
                .full_percent
                .map(|percent| (words::FULL, words::full(percent)))
                .into_iter()
                .collect(),
        },
        Tile {
            title: words::STAGE_LEDGER,
            state: stages.ledger.state,
            rule: words::rule_behind(limits),
            measures: vec![
                Measure {
                    testid: "counted",
                    label: words::COUNTED_PER_SECOND,
                    now: stages.ledger.counted_per_second,
                    of: |point| point.counted_per_second,
                    text: format::per_second,
                },
                Measure {
                    testid: "ledger-behind",
                    label: words::BEHIND,
                    now: whole(stages.ledger.behind_ms),
                    of: |point| whole(point.ledger_behind_ms),
                    text: behind,
                },
            ],
            facts: [
                stages.ledger.waiting.map(|waiting| (words::UNCOUNTED, format::count(waiting))),
                stamp(&stages.ledger.last_commit_at).map(|at| (words::LAST_COMMIT, at)),
            ]
            .into_iter()
            .flatten()
            .collect(),
        },
        Tile {
            title: words::STAGE_SCREENS,
            state: stages.screens.state,
            rule: words::rule_behind(limits),
            measures: vec![
                Measure {
                    testid: "screens-behind",
                    label: words::BEHIND,
                    now: whole(stages.screens.behind_ms),
                    of: |point| whole(point.screens_behind_ms),
                    text: behind,
                },
                Measure {
                    testid: "sessions",
                    label: words::SOCKETS,
                    now: whole(stages.screens.sessions),
                    of: |point| whole(point.sessions),
                    text: count,
                },
            ],
            facts: vec![],
        },
        Tile {
            title: words::DEAD_LETTERS,
            state: stages.dead_letters.state,
            rule: words::RULE_DEAD_LETTERS.to_string(),
            measures: vec![Measure {
                testid: "dead-letters",
                label: words::WAIT_FOR_A_PERSON,
                now: whole(stages.dead_letters.waiting),
                of: |point| whole(point.dead_letters),
                text: count,
            }],
            facts: vec![],
        },
        Tile {
            title: words::STAGE_RECONCILIATION,
            state: stages.reconciliation.state,
            rule: words::RULE_RECONCILIATION.to_string(),
            measures: vec![],
            facts: [
                stages.reconciliation.differences.map(|n| (words::DIFFERENCES, format::count(n))),
                stages.reconciliation.repaired.map(|n| (words::REPAIRED, format::count(n))),
                stamp(&stages.reconciliation.finished_at).map(|at| (words::FINISHED, at)),
            ]
            .into_iter()
            .flatten()
            .collect(),
        },
        Tile {
            title: words::STAGE_DATABASE,
            state: stages.database.state,
            rule: words::RULE_DATABASE.to_string(),
            measures: vec![Measure {
                testid: "database-bytes",
                label: words::SIZE,
                now: whole(stages.database.bytes),
                of: |point| whole(point.database_bytes),
                text: format::bytes,
            }],
            facts: database,
        },
        Tile {
            title: words::STAGE_LAKE,
            state: stages.lake.state,
            rule: words::RULE_LAKE.to_string(),
            measures: vec![Measure {
                testid: "lake-waiting",
                label: words::UNREAD,
                now: whole(stages.lake.waiting),
                of: |point| whole(point.lake_waiting),
                text: count,
            }],
            facts: stages
                .lake
                .waiting_for
                .clone()
                .map(|service| (words::WAITS_FOR, service))
                .into_iter()
                .collect(),
        },
    ];
    tiles.into_iter().map(|shown| tile(shown, &measured.history)).collect()
}

/// Returns the tone of a state.
pub(super) fn tone(state: StageState) -> Tone {
    match state {
        StageState::Off | StageState::Unknown => Tone::Neutral,
        StageState::Good => Tone::Good,
        StageState::Warning => Tone::Warning,
        StageState::Critical => Tone::Critical,
    }
}

fn tile(shown: Tile, history: &[PipelinePoint]) -> Html {
    // The same in every language.
    let testid = format!("stage-{}", shown.title.english().to_lowercase().replace(' ', "-"));
    html! {
        <section class={classes!("tile", tone(shown.state).class())} key={testid.as_str()} aria-label={shown.title} data-testid={testid.clone()}>
            <div class="tile-head">
                <h2>{ shown.title }</h2>
                <Badge text={words::stage_state(shown.state)} tone={tone(shown.state)} />
            </div>
            if shown.state != StageState::Off {
                { for shown.measures.iter().map(|measure| self::measure(measure, history)) }
                if !shown.facts.is_empty() {
                    <dl class="facts">{ for shown.facts.into_iter().map(|(label, value)| html! { <><dt>{ label }</dt><dd>{ value }</dd></> }) }</dl>
                }
            }
            <p class="soft rule">{ shown.rule }</p>
        </section>
    }
}

fn measure(measure: &Measure, history: &[PipelinePoint]) -> Html {
    let points: Vec<(i64, Option<f64>)> =
        history.iter().map(|point| (point.at_ms, (measure.of)(point))).collect();
    let now = measure.now.map(measure.text);
    html! {
        <div class="measure-of" data-testid={measure.testid} data-value={measure.now.map(|value| value.to_string())}>
            <p class="measure-label">{ measure.label }</p>
            <p class="measure-now">{ now.unwrap_or_else(|| "–".to_owned()) }</p>
            <Trend {points} label={measure.label} text={Callback::from(measure.text)} />
        </div>
    }
}

fn servers(servers: &[PipelineServer], view: &View) -> Html {
    let (rows, zone) = (servers.to_vec(), view.zone.clone());
    let count = rows.len();
    let row = Callback::from(move |index: usize| {
        let server = &rows[index];
        let spool = match &server.spool {
            None => html! { words::SPOOL_NONE },
            Some(spool) if !spool.takes => html! { <Badge text={words::FULL} tone={Tone::Critical} /> },
            Some(spool) => html! { format::count(spool.clicks) },
        };
        let (broker, tone) = if server.is_connected {
            (words::CONNECTED, Tone::Good)
        } else {
            (words::NOT_CONNECTED, Tone::Critical)
        };
        vec![
            name(&server.name),
            html! { <Badge text={broker} {tone} /> },
            html! { words::of_at_most(server.sessions, server.sessions_max) },
            html! { format::count(server.accepted) },
            spool,
            html! { format::count(server.lost) },
            html! { zone.stamp_ms(server.started_at_ms) },
            id(&server.roles.join(" ")),
        ]
    });
    let columns = vec![
        Column::text(words::SERVER),
        Column::text(words::BROKER),
        Column::number(words::SOCKETS),
        Column::number(words::ACCEPTED),
        Column::number(words::SPOOL),
        Column::number(words::LOST),
        Column::text(words::RUNS_SINCE),
        Column::text(words::PARTS),
    ];
    html! {
        <div class="part">
            <h2>{ words::SERVERS }</h2>
            <Table caption={words::SERVERS} {columns} rows={count} loaded={Loaded::Yes} {row} />
        </div>
    }
}

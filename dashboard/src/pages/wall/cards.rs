//! The cards of the wall screen.

use std::rc::Rc;

use clickwire_protocol::{
    alerts::{Alert, Severity},
    pipeline::{Pipeline, PipelineStages, StageState},
    report::BreakdownRow,
};
use yew::prelude::*;

use super::super::{
    explore::answers::Listed,
    name,
    pipeline::{self, trend::Trend},
};
use crate::{
    access::Access,
    format,
    incidents::{Open, is_silenced_now},
    kit::{Badge, Tone},
    words,
    zone::Zone,
};

/// Clicks that servers accept per second, now and in the last hour.
pub(super) fn rate(pipeline: Option<&Pipeline>) -> Html {
    let now = pipeline.and_then(|pipeline| pipeline.stages.as_ref()?.intake.accepted_per_second);
    let history = pipeline.map(|pipeline| pipeline.history.as_slice()).unwrap_or_default();
    let points: Vec<_> = history.iter().map(|point| (point.at_ms, point.accepted_per_second)).collect();
    html! {
        <section class="wall-card wall-rate" aria-label={words::PER_SECOND_NOW}>
            <h2>{ words::PER_SECOND_NOW }</h2>
            <p class="wall-large" data-testid="wall-rate" data-value={now.map(|now| now.to_string())}>{ now.map_or_else(|| "–".to_owned(), format::per_second) }</p>
            <Trend {points} label={words::PER_SECOND_NOW} text={Callback::from(format::per_second)} />
        </section>
    }
}

/// The day so far.
pub(super) fn today(report: Option<&Listed>) -> Html {
    let totals = report.map(|report| report.totals);
    let share = totals.and_then(|totals| totals.invalid_share());
    html! {
        <section class="wall-card wall-today" aria-label={words::TODAY}>
            <h2>{ words::TODAY }</h2>
            <dl>
                <div><dt>{ words::BILLABLE }</dt>
                    <dd data-testid="wall-billable" data-value={totals.map(|totals| totals.billable.to_string())}>{ totals.map_or_else(|| "–".to_owned(), |totals| format::count(totals.billable)) }</dd></div>
                <div><dt>{ words::INVALID_RATE }</dt><dd>{ format::percent(share) }</dd></div>
            </dl>
        </section>
    }
}

/// Returns the incident that comes first: of those that are not silenced the worst, of these the one opened last.
pub(super) fn worst(open: &Open, is_silenced: impl Fn(&Alert) -> bool) -> Option<Alert> {
    let ringing = open.latest().into_iter().rev().filter(|alert| !is_silenced(alert));
    ringing.max_by_key(|alert| alert.severity)
}

/// The number of open incidents, and the worst one.
pub(super) fn incidents(open: &Open, access: &Access, zone: &Zone) -> Html {
    let (ringing, total) = (open.ringing(), open.total());
    let worst = worst(open, is_silenced_now);
    let tone = match worst.as_ref().map(|alert| alert.severity) {
        Some(Severity::Critical) => Tone::Critical,
        Some(Severity::Warning) => Tone::Warning,
        None if open.is_known && ringing == 0 => Tone::Good,
        None => Tone::Neutral,
    };
    let said = match (open.is_known, ringing) {
        (false, _) => words::INCIDENTS_UNKNOWN.to_string(),
        (true, 0) => words::NO_OPEN_INCIDENTS.to_string(),
        (true, ringing) => words::open_incidents(ringing),
    };
    html! {
        <section class={classes!("wall-card", "wall-incidents", tone.class())} aria-label={words::INCIDENTS}>
            <h2>{ words::INCIDENTS }</h2>
            <p class="wall-middle" data-testid="wall-incidents">{ said }</p>
            if let Some(alert) = &worst {
                <p class="wall-worst">
                    <Badge text={if alert.severity == Severity::Critical { words::CRITICAL } else { words::WARNING }} {tone} />
                    <span>{ words::kind(alert.kind) }{ ": " }<bdi>{ access.subject_of(alert) }</bdi></span>
                </p>
                <p class="soft">{ words::open_since(&zone.stamp(&alert.opened_at)) }</p>
            }
            if total > ringing {
                <p class="soft">{ words::silenced_incidents(total - ringing) }</p>
            }
        </section>
    }
}

/// The stages in a click's order.
fn listed(stages: &PipelineStages) -> [(&'static str, StageState); 8] {
    [
        (words::STAGE_INTAKE.get(), stages.intake.state),
        (words::STAGE_STREAM.get(), stages.stream.state),
        (words::STAGE_LEDGER.get(), stages.ledger.state),
        (words::STAGE_SCREENS.get(), stages.screens.state),
        (words::DEAD_LETTERS.get(), stages.dead_letters.state),
        (words::STAGE_RECONCILIATION.get(), stages.reconciliation.state),
        (words::STAGE_DATABASE.get(), stages.database.state),
        (words::STAGE_LAKE.get(), stages.lake.state),
    ]
}

/// Each stage with its state in a word, and how late clicks are on screens.
pub(super) fn stages(pipeline: Option<&Pipeline>) -> Html {
    let stages = pipeline.and_then(|pipeline| pipeline.stages.as_ref());
    let behind_ms = stages.and_then(|stages| stages.screens.behind_ms);
    html! {
        <section class="wall-card wall-pipeline" aria-label={words::PIPELINE}>
            <div class="wall-card-head">
                <h2>{ words::PIPELINE }</h2>
                <p class="wall-lag"><span class="soft">{ words::TO_SCREEN }</span>{ " " }<span data-testid="wall-behind">{ behind_ms.map_or_else(|| "–".to_owned(), words::behind) }</span></p>
            </div>
            <ul class="wall-stages">
                { for stages.map(listed).into_iter().flatten().map(|(title, state)| html! {
                    <li key={title} class={pipeline::tone(state).class()}><span>{ title }</span><strong>{ words::stage_state(state) }</strong></li>
                }) }
            </ul>
            if stages.is_none() {
                <p class="soft">{ words::UNKNOWN }</p>
            }
        </section>
    }
}

/// A row of a table: its name, its owner's name, and its clicks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    name: String,
    of: Option<String>,
    clicks: i64,
}

/// Returns the rows of a report without the row of all other groups; `None`: the report is not known.
pub(super) fn rows(
    report: Option<&Rc<Listed>>,
    named: impl Fn(&BreakdownRow) -> (String, Option<String>),
) -> Option<Vec<Row>> {
    let apart = report?.rows.iter().filter(|row| !row.group.other).take(super::known::ROWS);
    let row = |row: &BreakdownRow| {
        let (name, of) = named(row);
        Row { name, of, clicks: row.numbers.clicks }
    };
    Some(apart.map(row).collect())
}

/// A card of the groups with the most clicks.
pub(super) fn table(testid: &'static str, title: &'static str, rows: Option<Vec<Row>>) -> Html {
    let is_empty = rows.as_ref().is_some_and(Vec::is_empty);
    html! {
        <section class="wall-card wall-top" data-testid={testid} aria-label={title}>
            <h2>{ title }</h2>
            <table>
                <thead class="hidden"><tr><th scope="col">{ title }</th><th scope="col">{ words::CLICKS }</th></tr></thead>
                <tbody>
                    { for rows.into_iter().flatten().map(|row| html! {
                        <tr>
                            <th scope="row"><span class="wall-name">{ name(&row.name) }if let Some(of) = &row.of { <span class="soft">{ name(of) }</span> }</span></th>
                            <td>{ format::count(row.clicks) }</td>
                        </tr>
                    }) }
                </tbody>
            </table>
            if is_empty {
                <p class="soft">{ words::NO_CLICKS_YET }</p>
            }
        </section>
    }
}

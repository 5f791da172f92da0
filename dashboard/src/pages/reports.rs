//! `/reports`: exports on a schedule, and the files of exports. Everybody fetches files, operators see schedules,
//! administrators make them.

mod new;

use yew::prelude::*;

use super::{NEW, Sheet, beside, done, name, sets_none};
use crate::{
    access::{Access, use_access},
    api::{ExportJob, ExportJobs, Role, Schedule, Schedules},
    ask::{use_interval, use_mutation, use_query},
    download, format,
    frame::View,
    http::{Method, Request},
    kit::{Badge, Column, Confirm, Drawer, Empty, Loaded, Problem, Table, Tone, use_toast},
    query::Query,
    route::Route,
    router::{Link, Place, use_router},
    words,
};

const SCHEDULES: &str = "/api/v1/admin/report-schedules";
const JOBS: &str = "/api/v1/exports/jobs";

/// Intervals between two requests for the files: while one is being made, and otherwise, in milliseconds.
const SOON_MS: u32 = 3_000;
const LATER_MS: u32 = 60_000;

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// The page.
#[component]
pub fn Reports(props: &Props) -> Html {
    let (access, router) = (use_access(), use_router());
    let sees_schedules = access.role().is_operators();
    let is_admin = access.role() == Role::Admin;
    let schedules = use_query::<Schedules>(sees_schedules.then(|| SCHEDULES.to_owned()));
    let query = props.view.place.query.clone();
    let makes = is_admin && query.part.as_deref() == Some(NEW);
    let at = move |part: Option<String>| Place::new(Route::Reports, Query { part, ..query.clone() });
    let close = {
        let to = at(None);
        Callback::from(move |()| router.go(to.clone()))
    };
    let aside = makes.then(|| {
        let oncreated = {
            let (reload, close) = (schedules.reload.clone(), close.clone());
            Callback::from(move |()| {
                reload.emit(());
                close.emit(());
            })
        };
        html! { <Drawer title={words::NEW_SCHEDULE} onclose={close.clone()}><new::New view={props.view.clone()} {oncreated} /></Drawer> }
    });
    let actions = html! { if is_admin { <Link class="primary" to={at(Some(NEW.to_owned()))}>{ words::NEW_SCHEDULE }</Link> } };
    html! {
        <Sheet title={words::REPORTS} {actions} {aside}>
            if sees_schedules {
                <div class="part">
                    <h2>{ words::SCHEDULES }</h2>
                    if let Some(failure) = schedules.failure.clone() {
                        <Problem {failure} onretry={schedules.reload.clone()} />
                    }
                    <Listed rows={schedules.data.as_ref().map(|all| all.data.clone())} loaded={schedules.loaded()} {is_admin} view={props.view.clone()} onchanged={schedules.reload.clone()} />
                </div>
            }
            <Files view={props.view.clone()} />
        </Sheet>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct ListedProps {
    /// The schedules; `None`: not known.
    rows: Option<Vec<Schedule>>,
    loaded: Loaded,
    is_admin: bool,
    view: View,
    onchanged: Callback<()>,
}

/// Schedules.
#[component]
fn Listed(props: &ListedProps) -> Html {
    let (access, toast, mutation) = (use_access(), use_toast(), use_mutation());
    let deletes = use_state_eq(|| None::<Schedule>);
    let rows = props.rows.clone().unwrap_or_default();
    let count = rows.len();
    let row = {
        let (zone, deletes, is_admin) = (props.view.zone.clone(), deletes.clone(), props.is_admin);
        Callback::from(move |index: usize| {
            let schedule = &rows[index];
            let whose = match &schedule.advertiser_id {
                None => words::ALL_ADVERTISERS.to_string(),
                Some(id) => access.advertiser_name(id),
            };
            let (deletes, wanted) = (deletes.clone(), schedule.clone());
            let onclick = Callback::from(move |_: MouseEvent| deletes.set(Some(wanted.clone())));
            let mut cells = vec![
                name(&schedule.name),
                name(&whose),
                name(&words::export(&schedule.kind, &schedule.parameters)),
                html! { words::turns(&schedule.every, schedule.hour, &schedule.time_zone) },
                html! { zone.stamp(&schedule.next_at) },
                name(schedule.webhook_url.as_deref().unwrap_or(words::KEPT_ONLY.get())),
                name(words::person(&schedule.created_by)),
            ];
            if is_admin {
                cells.push(html! {
                    <button type="button" class="link" data-key="delete" aria-label={words::of_key(words::DELETE_MORE.get(), &schedule.name)} {onclick}>{ words::DELETE_MORE }</button>
                });
            }
            cells
        })
    };
    let mut columns = vec![
        words::NAME,
        words::ADVERTISER,
        words::CONTENT,
        words::WHEN,
        words::NEXT,
        words::SENT_TO,
        words::BY,
    ];
    if props.is_admin {
        columns.push(words::ACTIONS);
    }
    let onconfirm = |schedule: &Schedule| {
        let (mutation, deletes) = (mutation.clone(), deletes.clone());
        let url = format!("{SCHEDULES}/{}", schedule.schedule_id);
        let then = done(&toast, words::DELETED, &props.onchanged);
        Callback::from(move |()| {
            deletes.set(None);
            mutation.send(Request::bare(Method::Delete, &url), then.clone());
        })
    };
    html! {
        <>
            { beside(&mutation, &[]) }
            <Table caption={words::SCHEDULES} columns={columns.into_iter().map(Column::text).collect::<Vec<_>>()} rows={count} {row} loaded={props.loaded}
                empty={html! { <Empty title={words::NO_SCHEDULES} text={words::NO_SCHEDULES_WHY} /> }} />
            if let Some(schedule) = &*deletes {
                <Confirm title={words::delete_what(&schedule.name)} text={words::DELETE_SCHEDULE_WHY} action={words::DELETE} onconfirm={onconfirm(schedule)} onclose={sets_none(&deletes)} />
            }
        </>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct FilesProps {
    view: View,
}

/// Files of exports, and those that are being made.
#[component]
fn Files(props: &FilesProps) -> Html {
    let (access, toast, mutation) = (use_access(), use_toast(), use_mutation());
    let jobs = use_query::<ExportJobs>(Some(JOBS.to_owned()));
    let deletes = use_state_eq(|| None::<ExportJob>);
    let rows = jobs.data.as_ref().map(|all| all.data.clone()).unwrap_or_default();
    let is_made = rows.iter().any(ExportJob::is_under_way);
    use_interval(if is_made { SOON_MS } else { LATER_MS }, jobs.reload.clone());
    let count = rows.len();
    let row = {
        let (access, toast, zone, deletes) =
            (access.clone(), toast.clone(), props.view.zone.clone(), deletes.clone());
        Callback::from(move |index: usize| {
            let job = &rows[index];
            let time = |name: &str| job.parameters.get(name).map(|at| zone.stamp(at));
            let about = words::from_until(time("start_time").as_deref(), time("end_time").as_deref());
            let (deletes, wanted) = (deletes.clone(), job.clone());
            let ondelete = Callback::from(move |_: MouseEvent| deletes.set(Some(wanted.clone())));
            vec![
                html! { zone.stamp(&job.created_at) },
                name(&words::export(&job.kind, &job.parameters)),
                html! { about },
                state(job),
                html! { job.delivery.as_deref().map(words::delivery).unwrap_or("–") },
                html! { format::bytes(job.bytes as f64) },
                html! { zone.stamp(&job.expires_at) },
                html! {
                    <span class="row-actions">
                        { file(job, &access, &toast) }
                        <button type="button" class="link" data-key="delete" onclick={ondelete}>{ words::DELETE_MORE }</button>
                    </span>
                },
            ]
        })
    };
    let columns = vec![
        Column::text(words::CREATED),
        Column::text(words::CONTENT),
        Column::text(words::RANGE),
        Column::text(words::STATE),
        Column::text(words::SENT),
        Column::number(words::SIZE),
        Column::text(words::EXPIRES),
        Column::text(words::ACTIONS),
    ];
    let onconfirm = |job: &ExportJob| {
        let (mutation, deletes) = (mutation.clone(), deletes.clone());
        let url = format!("{JOBS}/{}", job.job_id);
        let then = done(&toast, words::DELETED, &jobs.reload);
        Callback::from(move |()| {
            deletes.set(None);
            mutation.send(Request::bare(Method::Delete, &url), then.clone());
        })
    };
    html! {
        <div class="part">
            <h2>{ words::FILES }</h2>
            if let Some(failure) = jobs.failure.clone() {
                <Problem {failure} onretry={jobs.reload.clone()} />
            }
            { beside(&mutation, &[]) }
            <Table caption={words::FILES} {columns} rows={count} {row} loaded={jobs.loaded()}
                empty={html! { <Empty title={words::NO_FILES} text={words::NO_FILES_WHY} /> }} />
            if let Some(job) = &*deletes {
                <Confirm title={words::DELETE_FILE} text={words::DELETE_FILE_WHY} action={words::DELETE} onconfirm={onconfirm(job)} onclose={sets_none(&deletes)} />
            }
        </div>
    }
}

/// The button that downloads a finished file.
fn file(job: &ExportJob, access: &Access, toast: &Callback<AttrValue>) -> Html {
    let Some(url) = job.file.clone() else { return html! {} };
    let format = job.parameters.get("format").map_or("csv", String::as_str);
    let name = format!("clickwire-{}.{format}", job.kind);
    let (credential, toast) = (access.credential.clone(), toast.clone());
    let onclick = Callback::from(move |_: MouseEvent| {
        download::start(url.clone(), name.clone(), &credential, &toast);
    });
    html! { <button type="button" class="link" data-key="fetch" {onclick}>{ words::DOWNLOAD }</button> }
}

fn state(job: &ExportJob) -> Html {
    match job.status.as_str() {
        "done" => html! { <Badge text={words::DONE} tone={Tone::Good} /> },
        "failed" => {
            let code = job.error.clone().unwrap_or_default();
            html! { <><Badge text={words::FAILED} tone={Tone::Critical} />{ " " }<code class="id">{ code }</code></> }
        }
        other => html! { <Badge text={words::under_way(other)} /> },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{kit::render, router::Place, zone::Zone};

    fn view() -> View {
        View { place: Place::new(Route::Reports, Query::default()), scope: None, zone: Zone::utc() }
    }

    #[tokio::test]
    async fn only_administrators_delete_schedules() {
        let schedule = Schedule {
            schedule_id: uuid::Uuid::nil(),
            name: "Nightly <clicks>".into(),
            advertiser_id: None,
            kind: "breakdown".into(),
            parameters: BTreeMap::from([("group_by".to_owned(), "campaign_id".to_owned())]),
            every: "week".into(),
            time_zone: "Europe/Berlin".into(),
            hour: 6,
            created_by: "account:anna".into(),
            webhook_url: None,
            next_at: "2026-11-30T05:00:00Z".into(),
        };
        let list = async |is_admin| {
            let props = ListedProps {
                loaded: Loaded::Yes,
                rows: Some(vec![schedule.clone()]),
                is_admin,
                view: view(),
                onchanged: Callback::noop(),
            };
            render::<Listed>(props).await
        };
        let seen = list(false).await;
        for expected in [
            "Nightly &lt;clicks&gt;",
            "Numbers by Campaign, CSV",
            "Mondays at 06:00, Europe/Berlin",
            "2026-11-30 05:00:00",
            words::KEPT_ONLY.get(),
        ] {
            assert!(seen.contains(expected), "{expected}: {seen}");
        }
        assert!(!seen.contains(words::DELETE_MORE.get()), "{seen}");
        assert!(list(true).await.contains(words::DELETE_MORE.get()));
    }
}

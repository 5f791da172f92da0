//! `/statement`: an advertiser's billable clicks, by month and by campaign, and how far they are final. Months are
//! those of the page's time zone.

mod corrections;
mod month;
mod reconciled;

use std::{collections::BTreeMap, rc::Rc};

use clickwire_protocol::report::{Basis, BreakdownRow, Dimension, Metric, Numbers, TimeseriesRow};
use yew::prelude::*;

use self::{corrections::Corrections, month::Month, reconciled::Reconciled};
use super::{
    Sheet,
    campaign::to_campaign,
    explore::answers::{Drawn, Listed},
    export::Export,
    final_to, id, name,
};
use crate::{
    access::use_access,
    api::{Campaign, Page},
    ask::use_query,
    clock, format,
    frame::{DataStatus, View},
    http,
    kit::{Badge, Column, Empty, Loaded, Problem, Table, Tone},
    query::{LocalTime, Query, Range},
    route::Route,
    router::{Link, Place},
    words, zone,
};

/// Months that are listed, the present one included.
const MONTHS: u32 = 12;

/// Metrics of a row.
const METRICS: [Metric; 4] = [Metric::Billable, Metric::FraudCount, Metric::Duplicates, Metric::Received];

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// Returns the API's URL for a month, or for months up to now; `None`: no advertiser is chosen.
fn url(path: &str, view: &View, from: Month, to: Option<Month>, more: &[(&str, &str)]) -> Option<String> {
    between(path, view, from.begin(), to.map(Month::begin), more)
}

/// Returns the API's URL for the time from one moment to another, or up to now; `None`: no advertiser is chosen.
fn between(
    path: &str,
    view: &View,
    from: LocalTime,
    to: Option<LocalTime>,
    more: &[(&str, &str)],
) -> Option<String> {
    let scope = view.scope.as_ref()?.to_string();
    let utc = |local: LocalTime| zone::rfc3339(local.to_utc_ms(|at_ms| view.zone.ahead_minutes(at_ms)));
    let common = [
        ("advertiser_id", Some(scope)),
        ("start_time", Some(utc(from))),
        ("end_time", to.map(utc)),
        ("time_zone", Some(view.zone.name.to_string())),
    ];
    let more = more.iter().map(|(name, value)| (*name, Some((*value).to_owned())));
    Some(http::url(path, common.into_iter().chain(more)))
}

/// The page.
#[component]
pub fn Statement(props: &Props) -> Html {
    let access = use_access();
    let view = &props.view;
    let now_ms = use_memo(view.clone(), |_| clock::now_ms());
    let present = Month::at(*now_ms, &view.zone);
    let month = view.place.query.part.as_deref().and_then(Month::read).filter(|month| *month <= present);
    let month = month.unwrap_or(present);
    // The present month goes on: its end is now.
    let end = Some(month.next()).filter(|_| month < present);
    let by_campaign = [("group_by", "campaign_id"), ("order_by", "-billable"), ("limit", "1000")];
    let table = use_query::<Listed>(url("/api/v1/analytics/breakdown", view, month, end, &by_campaign));
    let first = (1..MONTHS).fold(present, |month, _| month.previous());
    let months = use_query::<Drawn>(url(
        "/api/v1/analytics/timeseries",
        view,
        first,
        None,
        &[("granularity", "month")],
    ));
    let scope = view.scope.as_ref().map(ToString::to_string);
    let campaigns = scope.clone().map(|id| http::url("/api/v1/campaigns", [("advertiser_id", Some(id))]));
    let campaigns = use_query::<Page<Campaign>>(campaigns);
    let names: Rc<BTreeMap<String, String>> = use_memo(campaigns.data.as_ref().map(Rc::as_ptr), |_| {
        let all = campaigns.data.iter().flat_map(|page| &page.data);
        all.map(|campaign| (campaign.campaign_id.clone(), campaign.name.clone())).collect()
    });
    // The frame shows no page of one advertiser without it.
    let Some(scope) = scope else { return html! {} };
    let advertiser = access.advertiser_name(&scope);
    let actions = {
        let file = view.clone();
        let export = Callback::from(move |format: AttrValue| {
            let mut more = by_campaign.to_vec();
            more.push(("format", &format));
            url("/api/v1/exports/breakdown", &file, month, end, &more).unwrap_or_default()
        });
        html! { <Export url={export} name={format!("clickwire-{scope}-{}", month.write())} prints=true /> }
    };
    let known = table.data.clone();
    html! {
        <Sheet title={words::statement_of(&advertiser, &words::month(month.year, month.month))} {actions}>
            if let Some(failure) = table.failure.clone().or(months.failure.clone()) {
                <Problem {failure} onretry={table.reload.reform({ let again = months.reload.clone(); move |()| again.emit(()) })} />
            }
            { strip(known.as_ref().map(|known| known.totals)) }
            if let Some(known) = &known {
                <p class="soft">{ state(month, present, &known.basis, view) }{ " " }{ words::statement_basis(&view.zone.name, &scope) }</p>
                <DataStatus><span class="freshness">{ final_to(&known.basis, view) }</span></DataStatus>
            }
            if access.role().is_staff() {
                <Reconciled view={view.clone()} />
            }
            <div class="statement">
                <Campaigns table={known} loaded={table.loaded()} names={names.clone()} {month} query={within(month, present, &view.place.query)} />
                <Months rows={months.data.clone()} loaded={months.loaded()} {month} {present} view={view.clone()} />
            </div>
            if let Some(now) = table.data.clone().filter(|known| is_final(month, &known.basis, view)) {
                <Corrections view={view.clone()} {month} {now} {names} query={within(month, present, &view.place.query)} key={month.write()} />
            }
        </Sheet>
    }
}

/// Returns whether a month is over and its numbers are final.
fn is_final(month: Month, basis: &Basis, view: &View) -> bool {
    let end_ms = month.next().begin().to_utc_ms(|at_ms| view.zone.ahead_minutes(at_ms));
    basis.final_before.as_deref().and_then(zone::at_ms).is_some_and(|before_ms| before_ms >= end_ms)
}

fn state(month: Month, present: Month, basis: &Basis, view: &View) -> Html {
    if is_final(month, basis, view) {
        html! { <Badge text={words::FINAL} tone={Tone::Good} /> }
    } else if month == present {
        html! { <Badge text={words::SO_FAR} /> }
    } else {
        html! { <Badge text={words::PROVISIONAL} tone={Tone::Warning} /> }
    }
}

fn strip(totals: Option<Numbers>) -> Html {
    html! {
        <dl class="strip">
            { for METRICS.map(|metric| {
                let number = totals.as_ref().and_then(|totals| metric.of(totals));
                html! {
                    <div class="figure" key={metric.as_str()}>
                        <dt>{ words::metric(metric) }</dt>
                        <dd data-testid={format!("statement-{}", metric.as_str())} data-value={number.map(|number| number.to_string())}>{ number.map_or_else(|| "–".to_owned(), format::count) }</dd>
                    </div>
                }
            }) }
        </dl>
    }
}

fn numbers(of: &Numbers) -> impl Iterator<Item = Html> {
    let of = *of;
    METRICS
        .into_iter()
        .map(move |metric| html! { metric.of(&of).map_or_else(|| "–".to_owned(), format::count) })
}

#[derive(Clone, PartialEq, Properties)]
struct CampaignsProps {
    table: Option<Rc<Listed>>,
    loaded: Loaded,
    names: Rc<BTreeMap<String, String>>,
    month: Month,
    /// The query that a campaign's page is opened with.
    query: Query,
}

/// Returns the same query about a month that is over: with the month as its range.
fn within(month: Month, present: Month, query: &Query) -> Query {
    let range = (month < present).then(|| Range::Between(month.begin(), month.next().begin()));
    Query { range: range.or_else(|| query.range.clone()), ..query.clone() }
}

/// A month by campaign.
#[component]
fn Campaigns(props: &CampaignsProps) -> Html {
    let rows: Rc<Vec<BreakdownRow>> =
        Rc::new(props.table.as_ref().map(|table| table.rows.clone()).unwrap_or_default());
    let count = rows.len();
    let row = {
        let (rows, names, query) = (rows.clone(), props.names.clone(), props.query.clone());
        Callback::from(move |index: usize| {
            let row = &rows[index];
            let campaign = row.group.value(Dimension::CampaignId);
            let head = match &campaign {
                Some(campaign) => {
                    to_campaign(campaign, name(names.get(campaign).unwrap_or(campaign)), &query)
                }
                None => html! { words::OTHERS },
            };
            let campaign = campaign.unwrap_or_default();
            [head, id(&campaign)].into_iter().chain(numbers(&row.numbers)).collect()
        })
    };
    let mut columns = vec![Column::text(words::CAMPAIGN), Column::text(words::ID)];
    columns.extend(METRICS.map(|metric| Column::number(words::metric(metric))));
    let foot = props.table.as_ref().filter(|_| count > 0).map(|table| {
        html! {
            <tfoot><tr>
                <th scope="row" colspan="2">{ words::TOTAL }</th>
                { for numbers(&table.totals).map(|cell| html! { <td class="n">{ cell }</td> }) }
            </tr></tfoot>
        }
    });
    let caption = words::by_campaign_in(&words::month(props.month.year, props.month.month));
    html! {
        <Table {caption} {columns} rows={count} {row} loaded={props.loaded} foot={foot.unwrap_or_default()}
            empty={html! { <Empty title={words::NO_CLICKS} text={words::NO_CLICKS_IN_MONTH} /> }} />
    }
}

#[derive(Clone, PartialEq, Properties)]
struct MonthsProps {
    rows: Option<Rc<Drawn>>,
    loaded: Loaded,
    month: Month,
    present: Month,
    view: View,
}

/// Months with clicks, the latest first; the present one in every case.
fn listed(rows: &[TimeseriesRow], present: Month) -> Vec<(Month, Numbers)> {
    let begun = rows.iter().skip_while(|row| row.numbers.received == 0);
    let mut months: Vec<(Month, Numbers)> =
        begun.filter_map(|row| Some((Month::read(row.time_bucket.get(..7)?)?, row.numbers))).collect();
    if months.last().is_none_or(|(month, _)| *month != present) {
        months.push((present, Numbers::default()));
    }
    months.reverse();
    months
}

/// The months to choose from.
#[component]
fn Months(props: &MonthsProps) -> Html {
    let known = props.rows.as_ref();
    let months = known.map(|known| listed(&known.0.rows, props.present)).unwrap_or_default();
    let selected = months.iter().position(|(month, _)| *month == props.month);
    let count = months.len();
    let row = {
        let (view, known, present) = (props.view.clone(), props.rows.clone(), props.present);
        Callback::from(move |index: usize| {
            let (month, numbers) = &months[index];
            let part = Some(month.write()).filter(|_| *month != present);
            // A month is one of a zone, which may be this browser's choice: the link says it.
            let zone = Some(view.zone.name.to_string());
            let to = Place::new(Route::Statement, Query { part, zone, ..view.place.query.clone() });
            let count =
                |metric: Metric| html! { metric.of(numbers).map_or_else(|| "–".to_owned(), format::count) };
            vec![
                html! { <Link {to}>{ words::month(month.year, month.month) }</Link> },
                count(Metric::Billable),
                count(Metric::FraudCount),
                known.as_ref().map(|known| state(*month, present, &known.0.basis, &view)).unwrap_or_default(),
            ]
        })
    };
    let columns = vec![
        Column::text(words::MONTH),
        Column::number(words::BILLABLE),
        Column::number(words::INVALID_CLICKS),
        Column::text(words::STATE),
    ];
    html! {
        <div class="unprinted"><Table caption={words::MONTHS} {columns} rows={count} {row} {selected} loaded={props.loaded} /></div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::Zone;

    fn month(text: &str) -> Month {
        Month::read(text).unwrap()
    }

    #[test]
    fn a_month_is_final_when_its_last_minute_is() {
        let view =
            View { place: Place::new(Route::Statement, Query::default()), scope: None, zone: Zone::utc() };
        let before = |at: Option<&str>| Basis { final_before: at.map(str::to_owned), ..Basis::default() };
        for (final_before, expected) in [
            (None, false),
            (Some("2026-10-31T23:59:00Z"), false),
            (Some("2026-11-01T00:00:00Z"), true),
            (Some("2026-11-28T10:00:00Z"), true),
        ] {
            assert_eq!(
                is_final(month("2026-10"), &before(final_before), &view),
                expected,
                "{final_before:?}"
            );
        }
    }

    #[test]
    fn a_campaign_of_a_month_that_is_over_is_shown_in_that_month() {
        let to = |text: &str| {
            within(month(text), month("2026-11"), &Query::read("?a=adv_001&r=1h&p=x")).carried().write()
        };
        assert_eq!(to("2026-10"), "?a=adv_001&r=2026-10-01..2026-11-01");
        assert_eq!(to("2026-11"), "?a=adv_001&r=1h", "the present month goes on");
    }

    #[test]
    fn months_begin_with_the_first_click() {
        let row = |bucket: &str, received| TimeseriesRow {
            time_bucket: bucket.into(),
            numbers: Numbers { received, ..Numbers::default() },
            ..TimeseriesRow::default()
        };
        let rows = [
            row("2026-08-01T00:00:00+02:00", 0),
            row("2026-09-01T00:00:00+02:00", 5),
            row("2026-10-01T00:00:00+02:00", 0),
            row("2026-11-01T00:00:00+01:00", 2),
        ];
        let months = |rows: &[TimeseriesRow]| {
            listed(rows, month("2026-11")).into_iter().map(|(month, _)| month.write()).collect::<Vec<_>>()
        };
        assert_eq!(months(&rows), ["2026-11", "2026-10", "2026-09"]);
        assert_eq!(months(&rows[..1]), ["2026-11"]);
    }

    #[test]
    fn a_month_is_asked_for_in_its_zone() {
        let view = View {
            place: Place::new(Route::Statement, Query::default()),
            scope: Some(clickwire_protocol::ids::AdvertiserId::unchecked("adv_001")),
            zone: Zone::utc(),
        };
        let asked = url("/x", &view, month("2026-12"), Some(month("2027-01")), &[("limit", "1")]);
        let expected = "/x?advertiser_id=adv_001&start_time=2026-12-01T00:00:00Z&end_time=2027-01-01T00:00:00Z&time_zone=UTC&limit=1";
        assert_eq!(asked.as_deref(), Some(expected));
        assert_eq!(url("/x", &View { scope: None, ..view }, month("2026-12"), None, &[]), None);
    }
}

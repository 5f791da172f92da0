//! Corrections of a closed month: its billable clicks at closing and now, and the changed verdicts that are the reason.

use std::{collections::BTreeMap, rc::Rc};

use clickwire_protocol::{ledger::Adjustment, report::Dimension, settings::Settings};
use yew::prelude::*;

use super::{
    super::{campaign::to_campaign, explore::answers::Listed, id, name},
    between,
    month::Month,
};
use crate::{
    access::use_access,
    api::Page,
    ask::{use_pages, use_query},
    format,
    frame::View,
    http::Failure,
    kit::{Column, Empty, Loaded, Pager, Problem, Table},
    query::{LocalTime, Query},
    route::Route,
    router::{Link, Place},
    words, zone,
};

/// Days before the end of a month whose clicks may have changed after it: older ones are compressed in the ledger,
/// and neither judged nor released again.
const OPEN_DAYS: i64 = 12;

/// Changes per page of the list.
const ROWS: &str = "100";

/// Returns the closing time of a month, in Unix milliseconds: its last minute is final `provisional_ms` after its end.
fn closed_ms(month: Month, view: &View, provisional_ms: i64) -> i64 {
    month.next().begin().to_utc_ms(|at_ms| view.zone.ahead_minutes(at_ms)) + provisional_ms
}

/// Returns the start of the last days of a month, which may have changed after it was closed. So the ledger need not
/// keep all of a month to tell the corrections.
fn open_from(month: Month) -> LocalTime {
    let LocalTime(end) = month.next().begin();
    LocalTime(end - OPEN_DAYS * 1_440).max(month.begin())
}

/// Billable clicks of a campaign at closing and now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Corrected {
    /// The campaign; `None`: campaigns that are not told apart.
    campaign: Option<String>,
    then: i64,
    now: i64,
}

impl Corrected {
    fn difference(&self) -> i64 {
        self.now - self.then
    }
}

fn is_whole(listed: &Listed) -> bool {
    !listed.rows.iter().any(|row| row.group.other)
}

fn by_campaign(listed: &Listed) -> BTreeMap<String, i64> {
    let told = listed.rows.iter().filter(|row| !row.group.other);
    told.filter_map(|row| Some((row.group.value(Dimension::CampaignId)?, row.numbers.billable))).collect()
}

/// Returns the change of each campaign in the last days of a month, and that of all others together. Where a report
/// has a row of others, a campaign that is missing in it may be among them.
fn differences(then: &Listed, now: &Listed) -> (BTreeMap<String, i64>, i64) {
    let is_whole = is_whole(then) && is_whole(now);
    let (before, after) = (by_campaign(then), by_campaign(now));
    let mut told = BTreeMap::new();
    for campaign in before.keys().chain(after.keys()) {
        let (was, is) = (before.get(campaign), after.get(campaign));
        if is_whole || (was.is_some() && is.is_some()) {
            told.insert(campaign.clone(), is.copied().unwrap_or(0) - was.copied().unwrap_or(0));
        }
    }
    let others = now.totals.billable - then.totals.billable - told.values().sum::<i64>();
    (told, others)
}

/// Returns campaigns whose billable clicks of the month have changed, the largest change first; `then` and `now` are
/// of its last days.
fn corrected(month: &Listed, then: &Listed, now: &Listed) -> Vec<Corrected> {
    let (told, mut others) = differences(then, now);
    let (known, is_whole) = (by_campaign(month), is_whole(month));
    let mut all = Vec::new();
    for (campaign, difference) in told {
        match known.get(&campaign).copied().or(is_whole.then_some(0)) {
            Some(now) => all.push(Corrected { campaign: Some(campaign), then: now - difference, now }),
            None => others += difference,
        }
    }
    let of_others = month.rows.iter().find(|row| row.group.other).map_or(0, |row| row.numbers.billable);
    all.push(Corrected { campaign: None, then: of_others - others, now: of_others });
    all.retain(|row| row.difference() != 0);
    all.sort_by_key(|row| std::cmp::Reverse(row.difference().abs()));
    all
}

#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    pub(super) view: View,
    /// A month that is final.
    pub(super) month: Month,
    /// The report of the month as it is billed now.
    pub(super) now: Rc<Listed>,
    /// Names of campaigns.
    pub(super) names: Rc<BTreeMap<String, String>>,
    /// The query that a campaign's page is opened with.
    pub(super) query: Query,
}

/// The corrections of a month.
#[component]
pub(super) fn Corrections(props: &Props) -> Html {
    let Props { view, month, .. } = props;
    let settings = use_query::<Settings>(Some("/api/v1/settings".to_owned()));
    let closed_ms = settings.data.as_ref().map(|settings| closed_ms(*month, view, settings.provisional_ms));
    let closed = closed_ms.map(zone::rfc3339);
    // Both of the same days, so that their difference is that of the month.
    let group = [("group_by", "campaign_id"), ("order_by", "-billable"), ("limit", "1000")];
    let (from, to) = (open_from(*month), Some(month.next().begin()));
    let days = |more: &[(&str, &str)]| between("/api/v1/analytics/breakdown", view, from, to, more);
    let last = use_query::<Listed>(closed.as_ref().and_then(|_| days(&group)));
    let then = use_query::<Listed>(closed.as_deref().and_then(|closed| {
        let as_of: Vec<(&str, &str)> = group.into_iter().chain([("as_of", closed)]).collect();
        days(&as_of)
    }));
    let why = use_pages::<Page<Adjustment>>(closed.as_deref().and_then(|closed| {
        // Both are moments: the zone has done its part.
        let scope = view.scope.as_ref().map(ToString::to_string)?;
        let utc =
            |month: Month| zone::rfc3339(month.begin().to_utc_ms(|at_ms| view.zone.ahead_minutes(at_ms)));
        let parameters = [
            ("advertiser_id", Some(scope)),
            ("start_time", Some(utc(*month))),
            ("end_time", Some(utc(month.next()))),
            ("since", Some(closed.to_owned())),
            ("limit", Some(ROWS.to_owned())),
        ];
        Some(crate::http::url("/api/v1/adjustments", parameters))
    }));
    let failure = settings.failure.clone().or(then.failure.clone()).or(last.failure.clone());
    let onretry = settings.reload.reform({
        let (then, last) = (then.reload.clone(), last.reload.clone());
        move |()| {
            then.emit(());
            last.emit(());
        }
    });
    let found = then.data.as_ref().zip(last.data.as_ref());
    let found = found.map(|(then, last)| Found { then: then.clone(), last: last.clone() });
    html! {
        <div class="part corrections" data-testid="corrections">
            <h2>{ words::CORRECTIONS }</h2>
            if let Some(closed_ms) = closed_ms {
                <p class="soft">{ words::closed_at(&view.zone.stamp_ms(closed_ms)) }</p>
            }
            if let Some(failure) = failure {
                { not_told(&failure, onretry) }
            } else {
                if let Some(late) = found.as_ref().map(Found::received_late) {
                    <p class="soft" data-testid="received-late" data-value={late.to_string()}>{ words::received_late(late) }</p>
                }
                <Difference {found} now={props.now.clone()} names={props.names.clone()} query={props.query.clone()} />
            }
            <h3>{ words::CHANGED_VERDICTS }</h3>
            if let Some(failure) = why.failure.clone() {
                <Problem {failure} onretry={why.reload.clone()} />
            }
            <Changes rows={why.rows.clone()} loaded={if closed.is_some() { why.loaded() } else { settings.loaded() }} view={view.clone()} query={props.query.clone()} />
            <Pager shown={why.rows.len()} has_more={why.has_more} is_loading={why.is_loading} onmore={why.more.clone()} />
        </div>
    }
}

/// The reason why the numbers at closing are not known: the ledger does not reach so far, or the request failed.
fn not_told(failure: &Failure, onretry: Callback<()>) -> Html {
    match failure.of_field("start_time") {
        Some(reason) => html! {
            <Empty title={words::CORRECTIONS_UNKNOWN} text={format!("{} {reason}", words::CORRECTIONS_UNKNOWN_WHY)} />
        },
        None => html! { <Problem failure={failure.clone()} {onretry} /> },
    }
}

/// Reports of the last days of a month.
#[derive(Clone, PartialEq)]
struct Found {
    /// The report at closing.
    then: Rc<Listed>,
    /// The report now.
    last: Rc<Listed>,
}

impl Found {
    /// Clicks that were received after closing, whatever became of them.
    fn received_late(&self) -> i64 {
        self.last.totals.received - self.then.totals.received
    }
}

#[derive(Clone, PartialEq, Properties)]
struct DifferenceProps {
    /// The last days of the month; `None`: not known yet.
    found: Option<Found>,
    /// The report of the whole month.
    now: Rc<Listed>,
    names: Rc<BTreeMap<String, String>>,
    query: Query,
}

/// Billable clicks at closing and now, by campaign.
#[component]
fn Difference(props: &DifferenceProps) -> Html {
    let found = props.found.as_ref();
    let rows = found.map(|found| corrected(&props.now, &found.then, &found.last)).unwrap_or_default();
    let count = rows.len();
    let row = {
        let (names, query) = (props.names.clone(), props.query.clone());
        Callback::from(move |index: usize| {
            let row = &rows[index];
            let head = match &row.campaign {
                Some(campaign) => {
                    to_campaign(campaign, name(names.get(campaign).unwrap_or(campaign)), &query)
                }
                None => html! { words::OTHERS },
            };
            vec![
                head,
                id(row.campaign.as_deref().unwrap_or_default()),
                html! { format::count(row.then) },
                html! { format::count(row.now) },
                html! { words::difference(row.difference()) },
            ]
        })
    };
    let columns = vec![
        Column::text(words::CAMPAIGN),
        Column::text(words::ID),
        Column::number(words::AT_CLOSING),
        Column::number(words::BILLABLE_NOW),
        Column::number(words::DIFFERENCE),
    ];
    let foot = found.map(|found| {
        let now = props.now.totals.billable;
        let then = now - (found.last.totals.billable - found.then.totals.billable);
        html! {
            <tfoot><tr>
                <th scope="row" colspan="2">{ words::TOTAL }</th>
                <td class="n" data-testid="billable-then" data-value={then.to_string()}>{ format::count(then) }</td>
                <td class="n" data-testid="billable-now" data-value={now.to_string()}>{ format::count(now) }</td>
                <td class="n" data-testid="billable-difference" data-value={(now - then).to_string()}>{ words::difference(now - then) }</td>
            </tr></tfoot>
        }
    });
    html! {
        <Table caption={words::CORRECTIONS} {columns} rows={count} {row} loaded={if found.is_some() { Loaded::Yes } else { Loaded::NotYet }} foot={foot.unwrap_or_default()}
            empty={html! { <Empty title={words::NO_CORRECTIONS} text={words::NO_CORRECTIONS_WHY} /> }} />
    }
}

#[derive(Clone, PartialEq, Properties)]
struct ChangesProps {
    rows: Rc<Vec<Adjustment>>,
    loaded: Loaded,
    view: View,
    query: Query,
}

/// Verdicts that were changed after closing, with rule, actor, reason and time.
#[component]
fn Changes(props: &ChangesProps) -> Html {
    let reads_clicks = Route::Clicks.is_open_to(use_access().role());
    let count = props.rows.len();
    let row = {
        let ChangesProps { rows, view, query, .. } = props.clone();
        Callback::from(move |index: usize| {
            let change = &rows[index];
            let campaign = change.campaign_id.as_deref();
            vec![
                if reads_clicks {
                    html! { <Link to={passport(change, &query)}>{ view.zone.stamp(&change.adjusted_at) }</Link> }
                } else {
                    html! { view.zone.stamp(&change.adjusted_at) }
                },
                html! { words::from_to(words::verdict(&change.from_disposition), words::verdict(&change.to_disposition)) },
                html! { change.rule.as_deref().map_or_else(|| "–".to_owned(), |rule| words::rule_in(rule, change.rule_version)) },
                campaign
                    .map_or_else(|| html! { "–" }, |campaign| to_campaign(campaign, id(campaign), &query)),
                name(words::changed_verdict_by(&change.actor)),
                name(&change.reason),
            ]
        })
    };
    let columns = [words::TIME, words::CHANGED, words::RULE, words::CAMPAIGN, words::BY, words::REASON];
    html! {
        <Table caption={words::CHANGED_VERDICTS} columns={columns.map(Column::text).to_vec()} rows={count} {row} loaded={props.loaded}
            empty={html! { <Empty title={words::NO_CHANGED_VERDICTS} text={words::NO_CHANGED_VERDICTS_WHY} /> }} />
    }
}

/// Returns the place where all that is known of the click is shown.
fn passport(change: &Adjustment, query: &Query) -> Place {
    let part = format!("{},{}", change.click_id, change.clicked_at);
    Place::new(Route::Clicks, Query { part: Some(part), ..query.carried() })
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::report::{Basis, Breakdown, BreakdownRow, Group, Numbers};

    use super::*;
    use crate::{kit::render, zone::Zone};

    fn listed(rows: &[(Option<&str>, i64)]) -> Listed {
        let numbers = |billable| Numbers { billable, ..Numbers::default() };
        let rows: Vec<BreakdownRow> = rows
            .iter()
            .map(|&(campaign, billable)| BreakdownRow {
                group: campaign.map_or_else(Group::others, |id| Group {
                    campaign_id: Some(id.to_owned()),
                    ..Group::default()
                }),
                numbers: numbers(billable),
                previous: None,
            })
            .collect();
        let totals = numbers(rows.iter().map(|row| row.numbers.billable).sum());
        let groups = rows.len();
        Listed(Breakdown { rows, groups, totals, comparison: None, basis: Basis::default() })
    }

    #[test]
    fn campaigns_are_compared_as_far_as_they_are_told_apart() {
        type Rows<'a> = &'a [(Option<&'a str>, i64)];
        let shown = |month: Rows<'_>, then: Rows<'_>, last: Rows<'_>| {
            let rows = corrected(&listed(month), &listed(then), &listed(last)).into_iter();
            rows.map(|row| (row.campaign.unwrap_or_default(), row.then, row.now)).collect::<Vec<_>>()
        };
        let row = |name: &str, then, now| (name.to_owned(), then, now);
        let (a, b) = (Some("a"), Some("b"));
        assert_eq!(shown(&[], &[], &[]), []);
        assert_eq!(shown(&[(a, 50), (b, 70)], &[(a, 5), (b, 7)], &[(b, 7), (a, 5)]), []);
        assert_eq!(
            shown(
                &[(a, 50), (b, 70), (Some("late"), 3)],
                &[(a, 5), (b, 7), (Some("gone"), 1)],
                &[(b, 9), (a, 1), (Some("late"), 3)]
            ),
            [row("a", 54, 50), row("late", 0, 3), row("b", 68, 70), row("gone", 1, 0)]
        );
        // `c` was told apart at closing alone, `b` now alone: both are counted with the others.
        assert_eq!(
            shown(
                &[(a, 80), (b, 60), (None, 100)],
                &[(a, 9), (Some("c"), 5), (None, 10)],
                &[(a, 8), (b, 6), (None, 11)]
            ),
            [row("", 98, 100), row("a", 81, 80)]
        );
        // Told apart in the last days, and not in the month.
        assert_eq!(shown(&[(a, 80), (None, 30)], &[(b, 6)], &[(b, 8)]), [row("", 28, 30)]);
    }

    #[test]
    fn the_last_days_of_a_month_may_have_changed_after_it() {
        for (month, from) in [("2026-10", "2026-10-20"), ("2026-02", "2026-02-17")] {
            assert_eq!(open_from(Month::read(month).unwrap()).write(), from);
        }
    }

    #[test]
    fn a_month_is_closed_when_its_last_minute_is_final() {
        let place = Place::new(Route::Statement, Query::default());
        let view = View { place, scope: None, zone: Zone::utc() };
        let closed = closed_ms(Month::read("2026-10").unwrap(), &view, 180_000);
        assert_eq!(zone::rfc3339(closed), "2026-11-01T00:03:00Z");
    }

    #[tokio::test]
    async fn what_was_billed_stands_beside_what_is_billed_now() {
        let shown = async |then: Option<Listed>, last: Listed, now: Listed| {
            let found = then.map(|then| Found { then: Rc::new(then), last: Rc::new(last) });
            let names = Rc::new([("a".to_owned(), "Spring <sale>".to_owned())].into());
            render::<Difference>(DifferenceProps { found, now: Rc::new(now), names, query: Query::default() })
                .await
        };
        let (a, b) = (Some("a"), Some("b"));
        let one = shown(
            Some(listed(&[(a, 100), (b, 2)])),
            listed(&[(a, 350), (b, 2)]),
            listed(&[(a, 1_250), (b, 2)]),
        )
        .await;
        for expected in
            ["Spring &lt;sale&gt;", "1,000", "1,250", "+250", "1,252", r#"data-value="250""#, "<tfoot>"]
        {
            assert!(one.contains(expected), "{expected}: {one}");
        }
        assert!(!one.contains(">b<"), "it has not changed: {one}");
        let none = shown(Some(listed(&[(a, 5)])), listed(&[(a, 5)]), listed(&[(a, 5)])).await;
        assert!(none.contains(words::NO_CORRECTIONS.get()) && none.contains("±0"), "{none}");
        let not_yet = shown(None, listed(&[]), listed(&[(a, 5)])).await;
        assert!(!not_yet.contains(words::NO_CORRECTIONS.get()) && !not_yet.contains("<tfoot>"), "{not_yet}");
    }

    #[tokio::test]
    async fn a_change_says_what_it_was_by_whom_and_why() {
        let change = Adjustment {
            adjusted_at: "2026-11-02T11:00:00Z".into(),
            click_id: uuid::Uuid::from_u128(7),
            clicked_at: "2026-10-28T10:00:00.000Z".into(),
            campaign_id: None,
            ad_id: None,
            from_disposition: "sivt".into(),
            to_disposition: "valid".into(),
            rule: Some("ip_velocity".into()),
            rule_version: Some(3),
            actor: "operator".into(),
            reason: "an <office>".into(),
        };
        assert_eq!(
            passport(&change, &Query::read("?a=adv_001")).href(),
            "/clicks?a=adv_001&p=00000000-0000-0000-0000-000000000007,2026-10-28T10:00:00.000Z"
        );
        let view =
            View { place: Place::new(Route::Statement, Query::default()), scope: None, zone: Zone::utc() };
        let query = Query::default();
        let props = ChangesProps { rows: Rc::new(vec![change]), loaded: Loaded::Yes, view, query };
        let shown = render::<Changes>(props).await;
        for expected in
            ["2026-11-02 11:00:00", "Sophisticated invalid traffic → Valid", "version 3", "an &lt;office&gt;"]
        {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
    }

    #[tokio::test]
    async fn a_month_beyond_the_ledger_says_so() {
        #[component]
        fn NotTold(props: &NotToldProps) -> Html {
            not_told(&props.failure, Callback::noop())
        }
        #[derive(PartialEq, Properties)]
        struct NotToldProps {
            failure: Failure,
        }
        let beyond = crate::http::invalid(&[("start_time", "The ledger begins at 2026-11-01.")]);
        let said = render::<NotTold>(NotToldProps { failure: beyond }).await;
        assert!(
            said.contains("can’t be shown") && said.contains("begins at") && !said.contains("alert"),
            "{said}"
        );
        let away = render::<NotTold>(NotToldProps { failure: Failure::Away }).await;
        assert!(away.contains(r#"role="alert""#) && !away.contains("can’t be shown"), "{away}");
    }
}

//! `/wall`: a screen that nobody touches for weeks, read from some metres: the rate, the day, incidents, the pipeline,
//! the advertisers and campaigns with the most clicks in the last hour. It shows how current its numbers are; when the
//! server is away they stand still, and go on by themselves when it is back.

mod cards;
mod known;
mod poll;

use std::rc::Rc;

use clickwire_protocol::report::BreakdownRow;
use gloo_events::EventListener;
use wasm_bindgen::JsCast as _;
use web_sys::KeyboardEvent;
use yew::prelude::*;

use self::{
    cards::{incidents, rate, rows, stages, table, today},
    known::{Known, Report, Worth},
    poll::Poll,
};
use super::campaign_names::{CampaignNames, advertisers_of, use_campaign_names};
use crate::{
    access::{Access, use_access},
    ask::use_interval,
    clock,
    frame::View,
    incidents::Open,
    query::Query,
    route::Route,
    router::{Link, Place, use_router},
    theme::Theme,
    words,
    zone::Zone,
};

/// Interval between two steps of the clock, in milliseconds.
const TICK_MS: u32 = 1_000;

/// Interval between two requests for names, in milliseconds.
const NAMES_EVERY_MS: i64 = 600_000;

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// Returns the known numbers, kept up to date as long as the component exists.
#[hook]
fn use_known(zone: &Zone, access: &Access) -> Known {
    let known = use_state_eq(|| Known::nothing(clock::now_ms()));
    {
        let known = known.clone();
        let refused = access.onrefused.clone();
        use_effect_with((zone.clone(), access.credential.clone()), move |(zone, credential)| {
            let changed = {
                let known = known.setter();
                Callback::from(move |now| known.set(now))
            };
            let poll = Poll::start((*known).clone(), zone.clone(), credential.clone(), changed, refused);
            move || poll.stop()
        });
    }
    (*known).clone()
}

/// Calls `then` on Escape, which leads to the page with the same numbers to work with.
#[hook]
fn use_escape(then: Callback<()>) {
    let latest = use_mut_ref(|| then.clone());
    *latest.borrow_mut() = then;
    use_effect_with((), move |()| {
        let document = web_sys::window().and_then(|window| window.document());
        let listener = document.map(|document| {
            EventListener::new(&document, "keydown", move |event| {
                if event.dyn_ref::<KeyboardEvent>().is_some_and(|event| event.key() == "Escape") {
                    let then = latest.borrow().clone();
                    then.emit(());
                }
            })
        });
        move || drop(listener)
    });
}

/// Returns the place that the page leads back to.
fn back(query: &Query) -> Place {
    Place::new(Route::Deployment, query.carried())
}

/// The page.
#[component]
pub fn Wall(props: &Props) -> Html {
    let (access, router, view) = (use_access(), use_router(), &props.view);
    let open = use_context::<Open>().unwrap_or_default();
    let known = use_known(&view.zone, &access);
    let now = use_state_eq(clock::now_ms);
    use_interval(TICK_MS, {
        let now = now.setter();
        Callback::from(move |()| now.set(clock::now_ms()))
    });
    let to = back(&view.place.query);
    use_escape({
        let to = to.clone();
        Callback::from(move |()| router.go(to.clone()))
    });
    let names_round = now.div_euclid(NAMES_EVERY_MS);
    {
        let again = access.onadvertisers.clone();
        let is_first = use_mut_ref(|| true);
        use_effect_with(names_round, move |_| {
            if !is_first.replace(false) {
                again.emit(());
            }
        });
    }
    let owners =
        known.report(Report::Campaigns).map(|report| advertisers_of(&report.rows)).unwrap_or_default();
    let campaigns = use_campaign_names(owners, names_round);
    html! {
        <Screen {known} now_ms={*now} {open} {access} {campaigns} view={view.clone()} {to} />
    }
}

/// Properties of the screen.
#[derive(Clone, PartialEq, Properties)]
struct ScreenProps {
    known: Known,
    now_ms: i64,
    open: Open,
    access: Access,
    campaigns: CampaignNames,
    view: View,
    /// The place that the screen leads back to.
    to: Place,
}

/// The screen.
#[component]
fn Screen(props: &ScreenProps) -> Html {
    let ScreenProps { known, now_ms, open, access, campaigns, view, to } = props;
    let worth = known.worth(*now_ms);
    let colours = match view.place.query.colours.unwrap_or(Theme::Dark) {
        Theme::Auto => None,
        Theme::Light => Some("light"),
        Theme::Dark => Some("dark"),
    };
    let is_stale = !matches!(worth, Worth::Live | Worth::Behind(_));
    let advertiser = |row: &BreakdownRow| {
        row.group.advertiser_id.as_deref().map(|id| access.advertiser_name(id)).unwrap_or_default()
    };
    let by_advertiser = rows(known.report(Report::Advertisers), |row| (advertiser(row), None));
    let by_campaign = rows(known.report(Report::Campaigns), |row| {
        let (owner, id) = (row.group.advertiser_id.as_deref(), row.group.campaign_id.as_deref());
        let name = owner.zip(id).map(|(owner, id)| campaigns.of(owner, id).to_owned());
        (name.unwrap_or_default(), Some(advertiser(row)))
    });
    html! {
        <main class={classes!("wall", colours, is_stale.then_some("stale"))}>
            <Link class="skip" to={to.clone()}>{ words::WALL_LEAVE }</Link>
            <header class="wall-head">
                <h1>{ words::ALL_ADVERTISERS }</h1>
                { state(worth, known, &view.zone) }
                { time(*now_ms, &view.zone) }
            </header>
            { rate(known.pipeline.as_deref()) }
            { today(known.report(Report::Today).map(Rc::as_ref)) }
            { incidents(open, access, &view.zone) }
            { stages(known.pipeline.as_deref()) }
            { table("wall-advertisers", words::LAST_HOUR_ADVERTISERS.get(), by_advertiser) }
            { table("wall-campaigns", words::LAST_HOUR_CAMPAIGNS.get(), by_campaign) }
        </main>
    }
}

/// The state of the numbers, in a word and with the reason.
fn state(worth: Worth, known: &Known, zone: &Zone) -> Html {
    let stamp = |at_ms: i64| zone.stamp_ms(at_ms);
    let (name, word, why) = match worth {
        Worth::Waiting => ("waiting", words::WALL_WAITING, None),
        Worth::Live => ("live", words::WALL_LIVE, None),
        Worth::Behind(ms) => ("delayed", words::WALL_DELAYED, Some(words::wall_behind(ms))),
        Worth::Stands(since_ms) => {
            ("delayed", words::WALL_DELAYED, Some(words::wall_stands(&stamp(since_ms))))
        }
        Worth::NotMeasured => ("delayed", words::WALL_DELAYED, Some(words::WALL_NOT_MEASURED.to_string())),
        Worth::Away(since_ms) => ("offline", words::WALL_OFFLINE, Some(words::wall_away(&stamp(since_ms)))),
    };
    let as_of = known.as_of_ms().filter(|_| matches!(worth, Worth::Away(_)));
    html! {
        // What is read aloud changes with the state alone.
        <div class={classes!("connection", "wall-state")} data-testid="wall-state" data-state={name} role="status">
            <span class="pill"><span class="dot" aria-hidden="true" />{ word }</span>
            if let Some(why) = why {
                <span class="wall-why">{ why }</span>
            }
            if let Some(at_ms) = as_of {
                <span class="wall-why" data-testid="wall-as-of">{ words::wall_as_of(&stamp(at_ms)) }</span>
            }
        </div>
    }
}

/// The time of the zone, by this machine's clock.
fn time(now_ms: i64, zone: &Zone) -> Html {
    let stamp = zone.stamp_ms(now_ms);
    let (date, time) = stamp.split_once(' ').unwrap_or(("", &stamp));
    html! {
        <p class="wall-clock" data-testid="wall-clock">
            <span class="wall-time">{ time }</span>
            <span class="soft">{ date }{ " · " }{ zone.name.replace('_', " ") }</span>
        </p>
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::{
        alerts::{Alert, Severity},
        report::{Basis, Breakdown, Group, Numbers},
    };
    use serde_json::json;

    use super::{
        cards::worst,
        known::{
            Told,
            tests::{known, pipeline, report},
        },
        *,
    };
    use crate::{account::Credential, incidents::tests::alert, kit::render, pages::explore::answers::Listed};

    /// 29 November 2026, 10:00:00 UTC.
    const NOW_MS: i64 = 1_795_946_400_000;

    fn props(known: Known, now_ms: i64, query: &str) -> ScreenProps {
        let place = Place::read("/wall", query);
        ScreenProps {
            known,
            now_ms,
            open: Open::default(),
            access: Access::new(Credential::Cookie),
            campaigns: CampaignNames::default(),
            to: back(&place.query),
            view: View { place, scope: None, zone: Zone::utc() },
        }
    }

    fn row(advertiser: &str, campaign: &str, clicks: i64) -> BreakdownRow {
        BreakdownRow {
            group: Group {
                advertiser_id: Some(advertiser.to_owned()),
                campaign_id: Some(campaign.to_owned()),
                ..Group::default()
            },
            numbers: Numbers { clicks, ..Numbers::default() },
            previous: None,
        }
    }

    #[tokio::test]
    async fn it_shows_everything_dark_unless_the_address_says_otherwise() {
        let mut known = known(pipeline(|_| ()), NOW_MS);
        let others = BreakdownRow { group: Group::others(), ..row("", "", 7) };
        let table = Breakdown {
            rows: vec![row("adv_001", "c <1>", 1_250), others],
            groups: 3,
            totals: Numbers::default(),
            comparison: None,
            basis: Basis::default(),
        };
        known.take(Told::Report(Report::Campaigns, Listed(table)), NOW_MS);
        let totals = Numbers { clicks: 200, billable: 150, fraud_count: 50, ..Numbers::default() };
        let day = Listed(Breakdown { totals, ..report(0).0 });
        known.take(Told::Report(Report::Today, day), NOW_MS);
        let mut all = props(known, NOW_MS, "");
        all.open.replace(vec![alert(1, Severity::Warning), alert(2, Severity::Critical)], 3);
        let screen = render::<Screen>(all).await;
        for expected in [
            r#"class="wall dark""#,
            r#"data-state="live""#,
            "12.5",
            "25.0%",
            "10:00:00",
            "2026-11-29",
            "3 open incidents",
            words::CRITICAL.get(),
            "c &lt;1&gt;",
            "1,250",
            words::NOT_IN_USE.get(),
            "0.4 s",
        ] {
            assert!(screen.contains(expected), "{expected}: {screen}");
        }
        assert!(!screen.contains(words::OTHERS.get()) && !screen.contains("stale"), "{screen}");
        for (query, class) in [("?t=light", r#"class="wall light""#), ("?t=auto", r#"class="wall""#)] {
            let screen = render::<Screen>(props(self::known(pipeline(|_| ()), NOW_MS), NOW_MS, query)).await;
            assert!(screen.contains(class), "{query}: {screen}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_away_leaves_its_last_numbers_and_says_since_when() {
        let known = known(pipeline(|_| ()), NOW_MS);
        let screen = render::<Screen>(props(known, NOW_MS + 3_600_000, "")).await;
        for expected in
            [r#"data-state="offline""#, "no answer since 2026-11-29 10:00:00", "12.5", "11:00:00", "stale"]
        {
            assert!(screen.contains(expected), "{expected}: {screen}");
        }
    }

    #[tokio::test]
    async fn what_is_not_known_is_absent() {
        let screen = render::<Screen>(props(Known::nothing(NOW_MS), NOW_MS, "")).await;
        assert!(
            screen.contains(r#"data-state="waiting""#) && screen.contains(words::INCIDENTS_UNKNOWN.get()),
            "{screen}"
        );
        assert!(!screen.contains("data-value") && !screen.contains(words::NO_CLICKS_YET.get()), "{screen}");
        let unmeasured = known(pipeline(|all| all["stages"] = json!(null)), NOW_MS);
        let screen = render::<Screen>(props(unmeasured, NOW_MS, "")).await;
        assert!(
            screen.contains(words::WALL_NOT_MEASURED.get()) && screen.contains(words::UNKNOWN.get()),
            "{screen}"
        );
    }

    #[test]
    fn the_worst_that_is_not_silenced_comes_first() {
        let mut open = Open::default();
        let all = [(1, Severity::Critical), (2, Severity::Critical), (3, Severity::Warning)];
        open.replace(all.map(|(number, severity)| alert(number, severity)).to_vec(), 3);
        let of = |silenced: &[u128]| {
            let is_silenced = |alert: &Alert| silenced.contains(&alert.alert_id.as_u128());
            worst(&open, is_silenced).map(|alert| alert.alert_id.as_u128())
        };
        assert_eq!([of(&[]), of(&[2]), of(&[1, 2]), of(&[1, 2, 3])], [Some(2), Some(1), Some(3), None]);
    }

    #[test]
    fn escape_leads_to_the_same_range_and_zone() {
        assert_eq!(back(&Query::read("?t=light&z=UTC&r=1h")).href(), "/deployment?r=1h&z=UTC");
    }
}

//! Clicks of an incident's campaign or advertiser around its time: valid and invalid ones by minute, from half an hour
//! before it was opened to half an hour after its end.

use std::fmt::Write as _;

use clickwire_protocol::{alerts::Alert, report::TimeseriesRow};
use yew::prelude::*;

use super::super::explore::answers::Drawn;
use crate::{ask::use_query, clock, frame::View, http, kit::Problem, words, zone};

/// Time before and after the incident, in milliseconds.
const AROUND_MS: i64 = 30 * 60_000;

/// The longest range that is shown by minute, in milliseconds; a longer one has wider buckets.
const BY_MINUTE_MS: i64 = 24 * 3_600_000;

/// The size of the drawing, in its own units.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 80.0;

/// Properties of the chart.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The incident.
    pub(super) alert: Alert,
    /// The address.
    pub(super) view: View,
}

/// The times of the chart, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    start: i64,
    opened: i64,
    /// End of the incident; of one that is open, now.
    ended: i64,
    end: i64,
}

impl Times {
    fn of(alert: &Alert, now_ms: i64) -> Option<Self> {
        let opened = zone::at_ms(&alert.opened_at)?;
        let ended = alert.resolved_at.as_ref().map_or(Some(now_ms), |at| zone::at_ms(at))?;
        let end = (ended + AROUND_MS).min(now_ms);
        Some(Self { start: opened - AROUND_MS, opened, ended, end }).filter(|times| times.start < times.end)
    }

    /// Returns the question for the clicks; `None`: the incident is about no campaign and no advertiser.
    fn question(self, alert: &Alert, zone: &str) -> Option<String> {
        let (advertiser, campaign) = (&alert.advertiser_id, &alert.campaign_id);
        (advertiser.is_some() || campaign.is_some()).then(|| {
            let granularity = if self.end - self.start <= BY_MINUTE_MS { "minute" } else { "auto" };
            http::url(
                "/api/v1/analytics/timeseries",
                [
                    ("advertiser_id", advertiser.as_ref().map(ToString::to_string)),
                    ("campaign_id", campaign.as_ref().map(ToString::to_string)),
                    ("start_time", Some(zone::rfc3339(self.start))),
                    ("end_time", Some(zone::rfc3339(self.end))),
                    ("granularity", Some(granularity.to_owned())),
                    ("time_zone", Some(zone.to_owned())),
                ],
            )
        })
    }
}

/// The chart.
#[component]
pub(super) fn Minutes(props: &Props) -> Html {
    let alert = &props.alert;
    // Now is a moment of its own: not another question with every drawing.
    let now_ms = *use_memo((alert.version, alert.last_seen_at.clone()), |_| clock::now_ms());
    let times = Times::of(alert, now_ms);
    let answer = use_query::<Drawn>(times.and_then(|times| times.question(alert, &props.view.zone.name)));
    html! {
        <>
            if let Some(failure) = answer.failure.clone() {
                <Problem {failure} onretry={answer.reload.clone()} />
            }
            if let Some((drawn, times)) = answer.shown().zip(times) {
                { figure(&drawn.0.rows, times, &props.view) }
            }
        </>
    }
}

/// Valid and invalid clicks of a bucket, with its start in milliseconds since the Unix epoch.
type Bucket = (i64, i64, i64);

fn buckets(rows: &[TimeseriesRow]) -> Vec<Bucket> {
    let bucket = |row: &TimeseriesRow| {
        Some((zone::at_ms(&row.time_bucket)?, row.numbers.billable, row.numbers.fraud_count))
    };
    rows.iter().filter_map(bucket).collect()
}

/// The chart and the same in words; nothing where there is no bucket.
fn figure(rows: &[TimeseriesRow], times: Times, view: &View) -> Html {
    let buckets = buckets(rows);
    let Some(highest) = buckets.iter().map(|(_, valid, invalid)| valid + invalid).max() else {
        return html! {};
    };
    let sum = |of: fn(&Bucket) -> i64| -> i64 {
        // Those that the incident reaches into.
        let of_incident =
            buckets.iter().filter(|(at, ..)| at + width_ms(&buckets) > times.opened && *at < times.ended);
        of_incident.map(of).sum()
    };
    let said = words::clicks_meanwhile(sum(|(_, valid, _)| *valid), sum(|(.., invalid)| *invalid), highest);
    let place = |at: i64| WIDTH * (at - times.start) as f64 / (times.end - times.start) as f64;
    let (from, to) = (place(times.opened), place(times.ended.min(times.end)));
    let [valid, invalid] = bars(&buckets, highest, times);
    let stamp = |at: i64| view.zone.stamp_ms(at);
    html! {
        <figure class="minutes" data-testid="minutes">
            <svg viewBox={format!("0 0 {WIDTH} {HEIGHT}")} preserveAspectRatio="none" role="img" aria-label={format!("{}: {said}", words::CLICKS_AROUND)} focusable="false">
                <rect class="minutes-span" x={format!("{from:.1}")} y="0" width={format!("{:.1}", (to - from).max(1.0))} height={HEIGHT.to_string()} />
                <path class="minutes-valid" d={valid} />
                <path class="minutes-invalid" d={invalid} />
            </svg>
            <p class="minutes-axis soft"><span>{ stamp(times.start) }</span><span>{ stamp(times.end) }</span></p>
            <figcaption>
                <p class="minutes-keys"><span class="minutes-key valid">{ words::verdict("valid") }</span><span class="minutes-key invalid">{ words::INVALID_CLICKS }</span><span class="minutes-key span">{ words::INCIDENT }</span></p>
                <p class="soft">{ said }</p>
            </figcaption>
        </figure>
    }
}

/// The width of a bucket, in milliseconds.
fn width_ms(buckets: &[Bucket]) -> i64 {
    buckets.windows(2).map(|pair| pair[1].0 - pair[0].0).min().unwrap_or(60_000)
}

/// Bars of the buckets: invalid clicks stand on valid ones.
fn bars(buckets: &[Bucket], highest: i64, times: Times) -> [String; 2] {
    let span = (times.end - times.start) as f64;
    let width = WIDTH * width_ms(buckets) as f64 / span;
    let height = |clicks: i64| if highest > 0 { HEIGHT * clicks as f64 / highest as f64 } else { 0.0 };
    let [mut below, mut above] = [String::new(), String::new()];
    for &(at, valid, invalid) in buckets {
        let x = WIDTH * (at - times.start) as f64 / span;
        let (middle, top) = (HEIGHT - height(valid), HEIGHT - height(valid) - height(invalid));
        for (path, from, to) in [(&mut below, HEIGHT, middle), (&mut above, middle, top)] {
            if from > to {
                // Writing to a text can't fail.
                let _ = write!(path, "M{x:.1} {from:.1}V{to:.1}h{width:.1}V{from:.1}z");
            }
        }
    }
    [below, above]
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::{
        alerts::Severity,
        ids::{AdvertiserId, CampaignId},
        report::Numbers,
    };

    use super::*;
    use crate::{
        incidents::tests::alert, kit::render, query::Query, route::Route, router::Place, zone::Zone,
    };

    fn at(text: &str) -> i64 {
        zone::at_ms(text).unwrap()
    }

    fn over() -> Alert {
        Alert {
            opened_at: "2026-11-28T10:00:30Z".into(),
            resolved_at: Some("2026-11-28T10:05:00Z".into()),
            advertiser_id: AdvertiserId::new("adv_001").ok(),
            campaign_id: CampaignId::new("camp_001").ok(),
            ..alert(1, Severity::Warning)
        }
    }

    #[test]
    fn half_an_hour_around_the_incident_is_asked_for() {
        let now = at("2026-11-28T12:00:00Z");
        let times = Times::of(&over(), now).unwrap();
        assert_eq!(
            times.question(&over(), "UTC").as_deref(),
            Some(
                "/api/v1/analytics/timeseries?advertiser_id=adv_001&campaign_id=camp_001\
                 &start_time=2026-11-28T09:30:00Z&end_time=2026-11-28T10:35:00Z&granularity=minute&time_zone=UTC"
            )
        );
        let open = Alert { resolved_at: None, ..over() };
        let times = Times::of(&open, now).unwrap();
        assert_eq!((times.ended, times.end), (now, now), "nothing is known of the future");
        let of_days = Times::of(&open, now + 3 * 86_400_000).unwrap();
        assert!(of_days.question(&open, "UTC").unwrap().contains("granularity=auto"));
        assert_eq!(
            times.question(&alert(1, Severity::Warning), "UTC"),
            None,
            "about no campaign and no advertiser"
        );
    }

    #[component]
    fn Given() -> Html {
        let place = Place::new(Route::Incidents(None), Query::default());
        let view = View { place, scope: None, zone: Zone::utc() };
        let row = |minute: u32, billable: i64, fraud_count: i64| TimeseriesRow {
            time_bucket: format!("2026-11-28T10:{minute:02}:00Z"),
            numbers: Numbers { billable, fraud_count, ..Numbers::default() },
            ..TimeseriesRow::default()
        };
        let times = Times::of(&over(), at("2026-11-28T12:00:00Z")).unwrap();
        figure(&[row(0, 10, 0), row(1, 10, 30), row(7, 5, 5)], times, &view)
    }

    #[tokio::test]
    async fn the_chart_marks_the_incident_and_says_its_clicks() {
        let chart = render::<Given>(()).await;
        for expected in [
            "20 valid and 30 invalid clicks while the incident lasted; the highest bar is 40 clicks.",
            r#"role="img" aria-label="Clicks around the incident: 20 valid"#,
            r#"<rect x="223.3" y="0" width="33.5" height="80" class="minutes-span""#,
            "<span>2026-11-28 09:30:30</span><span>2026-11-28 10:35:00</span>",
        ] {
            assert!(chart.contains(expected), "{expected}: {chart}");
        }
    }

    #[test]
    fn invalid_clicks_stand_on_valid_ones() {
        let times = Times { start: 0, opened: 0, ended: 120_000, end: 120_000 };
        let [valid, invalid] = bars(&[(0, 10, 0), (60_000, 10, 30)], 40, times);
        assert_eq!(valid, "M0.0 80.0V60.0h240.0V80.0zM240.0 80.0V60.0h240.0V80.0z");
        assert_eq!(invalid, "M240.0 60.0V0.0h240.0V60.0z");
        assert_eq!(bars(&[(0, 0, 0)], 0, times), ["", ""]);
    }
}

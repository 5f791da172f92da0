//! Exports that are made again and again: of each day, or of each week from Monday, of a time zone.
//!
//! When a schedule's hour has come, and its range is final, the first server that sees it queues the export and moves
//! the schedule on, in one transaction. Exports that were missed while no server ran are made up for, one after the
//! other.

use std::collections::BTreeMap;

use axum::http::Uri;
use clickwire_protocol::finality;
use jiff::{Timestamp, ToSpan as _, civil::Weekday, tz::TimeZone};
use sqlx::{FromRow, types::Json};
use time::{Duration, OffsetDateTime};
use url::{Host, Url};
use uuid::Uuid;

use super::make::{Export, Subject};
use crate::{
    http::{error::Error, parameters::Parameters, quota::Holder},
    query::{state::QueryState, watermark::Watermark},
    store::{database::answer, scope::Scope},
};

/// Longest address, in bytes.
const MAX_URL_BYTES: usize = 2_000;

/// Schedules whose hour has come that are looked at together.
const DUE_AT_ONCE: i64 = 100;

/// Time for which the export of a schedule is kept.
const KEPT: Duration = Duration::days(8);

/// The turns of a schedule: daily or weekly, at an hour of a time zone.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    is_weekly: bool,
    zone: TimeZone,
    hour: i8,
}

/// A schedule whose hour has come.
#[derive(FromRow)]
struct Due {
    schedule_id: Uuid,
    name: String,
    advertiser_id: Option<String>,
    kind: String,
    parameters: Json<BTreeMap<String, String>>,
    every: String,
    time_zone: String,
    hour: i16,
    next_at: OffsetDateTime,
    webhook_url: Option<String>,
}

impl Turns {
    /// Turns by their names in the API; or the errors, by field.
    pub(crate) fn new(every: &str, time_zone: &str, hour: i16) -> Result<Self, Error> {
        let zone =
            jiff::tz::db().get(time_zone).ok().filter(|zone| time_zone.len() <= 64 && !zone.is_unknown());
        let known_hour = i8::try_from(hour).ok().filter(|hour| (0..24).contains(hour));
        Error::fields([
            ("every", (!["day", "week"].contains(&every)).then(|| "Expected day or week.".to_owned())),
            (
                "time_zone",
                zone.is_none().then(|| "Expected an IANA time zone, such as Europe/Berlin.".to_owned()),
            ),
            ("hour", known_hour.is_none().then(|| "Expected a number from 0 to 23.".to_owned())),
        ])?;
        let zone = zone.unwrap_or(TimeZone::UTC);
        Ok(Self { is_weekly: every == "week", zone, hour: known_hour.unwrap_or_default() })
    }

    /// The first turn after a moment. Where the clock leaves the hour out, the turn is at the hour after.
    pub(crate) fn next(&self, after: OffsetDateTime) -> Option<OffsetDateTime> {
        let after = Timestamp::from_second(after.unix_timestamp()).ok()?;
        let mut date = self.zone.to_datetime(after).date();
        for _ in 0..9 {
            let at = date.at(self.hour, 0, 0, 0).to_zoned_datetime(self.zone.clone()).ok()?;
            if at.timestamp() > after && (!self.is_weekly || date.weekday() == Weekday::Monday) {
                return OffsetDateTime::from_unix_timestamp(at.timestamp().as_second()).ok();
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The day or week before a turn: begin and end, RFC 3339.
    pub(crate) fn range(&self, turn: OffsetDateTime) -> Option<[String; 2]> {
        let turn = Timestamp::from_second(turn.unix_timestamp()).ok()?;
        let end = self.zone.to_datetime(turn).date();
        let start = end.checked_sub(if self.is_weekly { 7.days() } else { 1.days() }).ok()?;
        let midnight = |date: jiff::civil::Date| {
            Some(date.to_zoned_datetime(self.zone.clone()).ok()?.timestamp().to_string())
        };
        Some([midnight(start)?, midnight(end)?])
    }
}

/// Checks what is to be exported: parameters as over HTTP, without times, and no advertiser.
pub(crate) fn check(kind: &str, parameters: &BTreeMap<String, String>) -> Result<(), Error> {
    let subject = Subject::named(kind)
        .ok_or_else(|| Error::field("kind", "Expected breakdown, timeseries or clicks."))?;
    let own = ["start_time", "end_time", "time_zone", "advertiser_id", "as_of"];
    let own = own.into_iter().filter(|name| parameters.contains_key(*name));
    Error::fields(own.map(|name| (name, Some("Is the schedule's.".to_owned()))))?;
    // It would stand in the audit log for ever.
    let user = parameters.contains_key("user_id").then(|| "A schedule names no user.".to_owned());
    Error::fields([("user_id", user)])?;
    Export::read(subject, Parameters::new(parameters.clone().into_iter().collect())).map(drop)
}

/// Checks the address that files are sent to: nothing of a tenant goes over a wire in the clear.
pub(crate) fn check_webhook(url: &str) -> Result<(), Error> {
    let is_good = Url::parse(url).is_ok_and(|url| {
        let is_here = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(_)) | None => false,
        };
        let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_here;
        is_safe && url.username().is_empty() && url.password().is_none()
    });
    let is_good = is_good && url.len() <= MAX_URL_BYTES && url.parse::<Uri>().is_ok();
    let wrong = (!is_good).then(|| {
        format!(
            "Expected an address that begins with https://, without a user, of at most {MAX_URL_BYTES} bytes."
        )
    });
    Error::fields([("webhook_url", wrong)])
}

/// Queues the export of a schedule whose hour has come and whose range is final; returns whether there was one.
pub(super) async fn queue_due(state: &QueryState) -> Result<bool, sqlx::Error> {
    let mut transaction = state.jobs.begin().await?;
    let all: Vec<Due> = sqlx::query_as(
        "SELECT schedule_id, name, advertiser_id, kind, parameters, every, time_zone, hour, next_at, webhook_url \
           FROM report_schedules WHERE next_at <= now() ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED",
    )
    .bind(DUE_AT_ONCE)
    .fetch_all(&mut *transaction)
    .await?;
    if all.is_empty() {
        return Ok(false);
    }
    let Some(final_before) = final_before(state).await else { return Ok(false) };
    let turn = |due: &Due| {
        let turns = Turns::new(&due.every, &due.time_zone, due.hour).ok()?;
        Some((turns.range(due.next_at)?, turns.next(due.next_at)?))
    };
    let is_final = |[_, end]: &[String; 2]| end.parse::<Timestamp>().is_ok_and(|end| end <= final_before);
    let turns = all.into_iter().map(|due| (turn(&due), due));
    let next = turns.into_iter().find(|(turn, _)| turn.as_ref().is_none_or(|(range, _)| is_final(range)));
    let Some((turn, due)) = next else { return Ok(false) };
    let Some(([start, end], next_at)) = turn else {
        // It was checked when it was made: a newer time zone database lacks its zone. Tomorrow it may be back.
        tracing::error!(schedule_id = %due.schedule_id, "a schedule's turn can't be told");
        let later = "UPDATE report_schedules SET next_at = now() + INTERVAL '1 day' WHERE schedule_id = $1";
        sqlx::query(later).bind(due.schedule_id).execute(&mut *transaction).await?;
        transaction.commit().await?;
        return Ok(true);
    };
    let mut parameters = due.parameters.0;
    parameters.extend([("start_time".to_owned(), start), ("end_time".to_owned(), end)]);
    if due.kind != "clicks" {
        parameters.insert("time_zone".to_owned(), due.time_zone);
    }
    let format = parameters.get("format").cloned().unwrap_or_else(|| "csv".to_owned());
    sqlx::query(
        "INSERT INTO export_jobs (job_id, expires_at, owner, owner_name, advertisers, kind, parameters, extension, \
                                  webhook_url, delivery, delivery_due) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $9::text IS NOT NULL THEN 'waiting' END, now())",
    )
    .bind(Uuid::now_v7())
    .bind(OffsetDateTime::now_utc() + KEPT)
    .bind(format!("schedule:{}", due.schedule_id))
    .bind(&due.name)
    .bind(due.advertiser_id.map(|id| vec![id]))
    .bind(&due.kind)
    .bind(Json(parameters))
    .bind(format)
    .bind(due.webhook_url)
    .execute(&mut *transaction)
    .await?;
    let next = sqlx::query("UPDATE report_schedules SET next_at = $2 WHERE schedule_id = $1");
    next.bind(due.schedule_id).bind(next_at).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(true)
}

/// End of the minutes that are final where exports are read from, which may be a replica; `None`: it is not known.
async fn final_before(state: &QueryState) -> Option<Timestamp> {
    let nobody = Scope::Advertisers(Vec::new());
    let mut reader = state.tenants.begin(&nobody, vec![Holder::Operators]).await.ok()?;
    let watermark = answer(Watermark::read(&mut *reader, state.partitions)).await.ok()?.time()?;
    Timestamp::from_millisecond(finality::final_before(watermark).0).ok()
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;

    use super::*;

    fn at(text: &str) -> OffsetDateTime {
        OffsetDateTime::parse(text, &Rfc3339).unwrap()
    }

    #[test]
    fn turns_follow_the_clock_of_their_zone() {
        for (every, zone, hour, after, turn, start, end) in [
            // Summer time begins on the 29th: the day has 23 hours.
            (
                "day",
                "Europe/Berlin",
                6,
                "2026-03-29T04:00:00Z",
                "2026-03-30T04:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
            // The hour that is left out.
            (
                "day",
                "Europe/Berlin",
                2,
                "2026-03-28T12:00:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-27T23:00:00Z",
                "2026-03-28T23:00:00Z",
            ),
            // The hour that comes twice is one turn.
            (
                "day",
                "America/New_York",
                1,
                "2026-11-01T05:00:00Z",
                "2026-11-02T06:00:00Z",
                "2026-11-01T04:00:00Z",
                "2026-11-02T05:00:00Z",
            ),
            (
                "week",
                "Asia/Kolkata",
                0,
                "2026-11-28T12:00:00Z",
                "2026-11-29T18:30:00Z",
                "2026-11-22T18:30:00Z",
                "2026-11-29T18:30:00Z",
            ),
        ] {
            let turns = Turns::new(every, zone, hour).unwrap();
            let next = turns.next(at(after)).unwrap();
            assert_eq!(next, at(turn), "{every} {zone} {hour}");
            assert_eq!(turns.range(next).unwrap(), [start, end], "{every} {zone} {hour}");
            assert!(turns.next(next).unwrap() > next);
        }
    }

    #[test]
    fn files_are_sent_over_tls_or_within_the_machine() {
        for url in ["https://reports.example/in?key=1", "http://127.0.0.1:8000/", "http://[::1]/"] {
            assert!(check_webhook(url).is_ok(), "{url}");
        }
        let long = format!("https://reports.example/{}", "a".repeat(2_000));
        for url in [
            "",
            "reports.example",
            "/in",
            "http://reports.example/",
            "http://10.0.0.1/",
            "http://localhost.example/",
            "ftp://reports.example/",
            "https://user@reports.example/",
            "https://user:secret@reports.example/",
            "https://",
            &long,
        ] {
            let Err(Error::Invalid(rejection)) = check_webhook(url) else { panic!("{url} was taken") };
            assert_eq!(rejection.field_errors.into_keys().collect::<Vec<_>>(), ["webhook_url"]);
        }
    }

    #[test]
    fn what_is_no_schedule_is_named() {
        for (every, zone, hour, field) in [
            ("month", "UTC", 0, "every"),
            ("day", "Berlin", 0, "time_zone"),
            ("day", "UTC", 24, "hour"),
            ("day", "UTC", -1, "hour"),
        ] {
            let Err(Error::Invalid(rejection)) = Turns::new(every, zone, hour) else { panic!("{field}") };
            assert_eq!(rejection.field_errors.into_keys().collect::<Vec<_>>(), [field]);
        }
        let given = |name: &str| [(name.to_owned(), "csv".to_owned())].into();
        assert!(check("clicks", &given("format")).is_ok());
        for (kind, name) in [
            ("summary", "format"),
            ("clicks", "start_time"),
            ("clicks", "user_id"),
            ("clicks", "nothing"),
            ("breakdown", "format"),
        ] {
            assert!(check(kind, &given(name)).is_err(), "{kind} {name}");
        }
    }
}

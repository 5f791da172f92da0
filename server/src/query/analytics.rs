//! `GET /api/v1/analytics/aggregate`: counts by minute, hour or day.
//!
//! The range is `[start_time, end_time)`, widened to whole buckets. Table and column names come
//! from enums, values are bound.

mod uniques;

use std::sync::Arc;

use std::time::Instant;

use axum::{Json, extract::State};
use clickwire_ledger::counts::{CountsRow, SUMS};
use clickwire_protocol::{
    analytics::{Aggregate, AggregateRow, Dimension, Granularity},
    click::Rejection,
    counts::DeviceType,
    ids::AdvertiserId,
};
use sqlx::{FromRow as _, Postgres, QueryBuilder, Row as _, postgres::PgRow};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    http::{
        error::Error,
        openapi::{self, Refused},
        parameters::{Parameters, instant},
    },
    identity::access::Caller,
    query::{state::QueryState, watermark::Watermark},
    store::{database, error::of_question},
};

/// Buckets in one answer, at most: a week of minutes.
const MAX_BUCKETS: i64 = 10_080;

/// Rows in one answer, at most.
const MAX_ROWS: usize = 50_000;

/// A question, checked.
#[derive(Debug, PartialEq)]
struct AggregateQuery {
    advertiser_id: Option<AdvertiserId>,
    granularity: Granularity,
    start: OffsetDateTime,
    end: OffsetDateTime,
    filters: Vec<(Dimension, String)>,
    group_by: Vec<Dimension>,
}

/// Counts clicks by minute, hour or day.
///
/// The range is widened to whole buckets. Without an advertiser the administrator asks about all.
#[utoipa::path(get, path = "/api/v1/analytics/aggregate", tag = "viewer",
    params(
        ("start_time" = Option<OffsetDateTime>, Query, description = "By default an hour, a day or 30 days before the end."),
        ("end_time" = Option<OffsetDateTime>, Query, description = "Exclusive; by default now."),
        ("granularity" = inline(Option<Granularity>), Query, description = "By default `minute`."),
        ("group_by" = Option<String>, Query, description = "Any of `campaign_id`, `ad_id`, `country`, `device_type`, separated by commas."),
        ("advertiser_id" = Option<String>, Query), ("campaign_id" = Option<String>, Query),
        ("ad_id" = Option<String>, Query), ("country" = Option<String>, Query),
        ("device_type" = Option<DeviceType>, Query),
    ),
    responses((status = 200, body = Aggregate), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn aggregate(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<Aggregate>, Error> {
    let question = AggregateQuery::read(parameters, OffsetDateTime::now_utc())?;
    let advertiser_id = caller.scope.advertiser_or_all(question.advertiser_id.as_ref())?;

    let started = Instant::now();
    let mut tenants = state.tenants.begin(&caller.scope, caller.holders(advertiser_id)).await?;
    // Before the rows: what is called final is in them.
    let watermark = database::answer(Watermark::read(&mut *tenants, state.partitions)).await?;
    let rows = database::answer(question.sql(advertiser_id).build().fetch_all(&mut *tenants))
        .await
        .map_err(of_question)?;
    if rows.len() > MAX_ROWS {
        let message = format!(
            "More than {MAX_ROWS} rows: ask for a shorter time, a coarser granularity or fewer groups."
        );
        return Err(Error::Invalid(Rejection::form(message)));
    }
    let data = rows.iter().map(|row| question.row(row)).collect::<Result<Vec<_>, _>>()?;
    let total_clicks = data.iter().map(|row| row.clicks).sum();
    let (start, end) = question.buckets();
    let shown = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    let mut answer = Aggregate {
        data,
        total_clicks,
        start_time: shown(start),
        end_time: shown(end),
        final_before: watermark.final_before(),
        ..Aggregate::default()
    };
    uniques::fill(&mut answer, &question, advertiser_id, &mut tenants).await.map_err(of_question)?;
    let elapsed = started.elapsed();
    metrics::histogram!("clickwire_query_seconds", "query" => "aggregate").record(elapsed);
    answer.query_time_ms = elapsed.as_secs_f64() * 1e3;
    Ok(Json(answer))
}

impl AggregateQuery {
    fn read(mut given: Parameters, now: OffsetDateTime) -> Result<Self, Error> {
        let granularity = given.take("granularity", granularity).unwrap_or_default();
        let end = given.take("end_time", instant).unwrap_or(now);
        // At the edges of what a time can be, ranges and buckets end there.
        let start = given
            .take("start_time", instant)
            .unwrap_or_else(|| end.saturating_sub(default_range(granularity)));
        let group_by = given.take("group_by", Dimension::list).unwrap_or_default();
        let advertiser_id = given.take("advertiser_id", AdvertiserId::new);
        let mut filters = Vec::new();
        for dimension in Dimension::ALL {
            let value = given.take(dimension.as_str(), |text| dimension.value(text));
            filters.extend(value.map(|value| (dimension, value)));
        }
        if start >= end {
            given.reject("start_time", "Must be before end_time.");
        } else if (end - start).whole_seconds() / width(granularity).whole_seconds() > MAX_BUCKETS {
            given.reject("start_time", &format!("The range holds more than {MAX_BUCKETS} buckets."));
        }
        given.finish(Self { advertiser_id, granularity, start, end, filters, group_by })
    }

    /// The start of the first bucket and the end of the last one.
    fn buckets(&self) -> (OffsetDateTime, OffsetDateTime) {
        let seconds = width(self.granularity).whole_seconds();
        let last = floor(self.end.saturating_sub(Duration::NANOSECOND), seconds);
        (floor(self.start, seconds), last.saturating_add(width(self.granularity)))
    }

    fn sql(&self, advertiser_id: Option<&AdvertiserId>) -> QueryBuilder<Postgres> {
        let table = match self.granularity {
            Granularity::Minute => "click_minutes",
            Granularity::Hour => "click_hours",
            Granularity::Day => "click_days",
        };
        let groups: String =
            self.group_by.iter().map(|dimension| format!(", {}", dimension.as_str())).collect();
        let mut sql = QueryBuilder::new("SELECT bucket");
        sql.push(&groups);
        sql.push(format!(", {SUMS} FROM {table} WHERE bucket >= ")).push_bind(self.buckets().0);
        sql.push(" AND bucket < ").push_bind(self.end);
        if let Some(advertiser_id) = advertiser_id {
            sql.push(" AND advertiser_id = ").push_bind(advertiser_id.clone());
        }
        for (dimension, value) in &self.filters {
            sql.push(format!(" AND {} = ", dimension.as_str())).push_bind(value.clone());
        }
        sql.push(format!(" GROUP BY bucket{groups} ORDER BY bucket{groups} LIMIT {}", MAX_ROWS + 1));
        sql
    }

    fn row(&self, row: &PgRow) -> Result<AggregateRow, sqlx::Error> {
        let CountsRow(counts) = CountsRow::from_row(row)?;
        let bucket: OffsetDateTime = row.try_get("bucket")?;
        let mut answer = AggregateRow::new(bucket.format(&Rfc3339).unwrap_or_default(), &counts);
        for dimension in &self.group_by {
            let value = Some(row.try_get(dimension.as_str())?);
            match dimension {
                Dimension::CampaignId => answer.campaign_id = value,
                Dimension::AdId => answer.ad_id = value,
                Dimension::Country => answer.country = value,
                Dimension::DeviceType => answer.device_type = value,
            }
        }
        Ok(answer)
    }
}

fn granularity(text: &str) -> Result<Granularity, String> {
    match text {
        "minute" => Ok(Granularity::Minute),
        "hour" => Ok(Granularity::Hour),
        "day" => Ok(Granularity::Day),
        _ => Err("Expected minute, hour or day.".to_owned()),
    }
}

fn width(granularity: Granularity) -> Duration {
    match granularity {
        Granularity::Minute => Duration::MINUTE,
        Granularity::Hour => Duration::HOUR,
        Granularity::Day => Duration::DAY,
    }
}

fn default_range(granularity: Granularity) -> Duration {
    match granularity {
        Granularity::Minute => Duration::HOUR,
        Granularity::Hour => Duration::DAY,
        Granularity::Day => Duration::days(30),
    }
}

fn floor(at: OffsetDateTime, width_seconds: i64) -> OffsetDateTime {
    let seconds = at.unix_timestamp().div_euclid(width_seconds) * width_seconds;
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<AggregateQuery, Rejection> {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let given = query.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        AggregateQuery::read(Parameters::new(given), now).map_err(|error| match error {
            Error::Invalid(rejection) => rejection,
            error => panic!("{error}"),
        })
    }

    /// A time as somebody may send it, mostly at the edges of the years that there are.
    fn time() -> impl Strategy<Value = String> {
        let year = prop_oneof![Just(0), Just(1), Just(9_998), Just(9_999), 0..=9_999_u32];
        let day = prop_oneof![Just("01-01".to_owned()), Just("12-31".to_owned()), "0[1-9]-[012][1-8]"];
        let hour =
            prop_oneof![Just("00:00:00"), Just("23:59:59"), Just("23:59:60"), Just("23:59:59.999999999")];
        let zone = prop_oneof![Just("Z"), Just("+23:59"), Just("-23:59"), Just("-00:01"), Just("+05:30")];
        (year, day, hour, zone).prop_map(|(year, day, hour, zone)| format!("{year:04}-{day}T{hour}{zone}"))
    }

    proptest! {
        #[test]
        fn every_time_is_answered(
            granularity in prop_oneof![Just("minute"), Just("hour"), Just("day")],
            start in proptest::option::of(time()),
            end in proptest::option::of(time()),
            group_by in prop_oneof![Just(""), Just("campaign_id")],
        ) {
            let times = [("start_time", &start), ("end_time", &end)];
            let times = times.iter().filter_map(|(name, time)| Some((*name, time.as_deref()?)));
            let query: Vec<_> = times.chain([("granularity", granularity), ("group_by", group_by)]).collect();
            if let Ok(question) = read(&query) {
                let (first, last) = question.buckets();
                prop_assert!(first <= question.start && question.end <= last, "{question:?}: {first} to {last}");
                // As they are bound: a time that is not in UTC would be converted then.
                prop_assert!(question.start.offset().is_utc() && question.end.offset().is_utc());
                question.sql(Some(&AdvertiserId::unchecked("adv_001")));
                question.sketches(None, OffsetDateTime::now_utc());
            }
        }
    }

    #[test]
    fn the_answer_says_which_range_it_is_about() {
        let india = [("start_time", "2026-11-28T00:00:00+05:30"), ("end_time", "2026-11-29T00:00:00+05:30")];
        let buckets = |granularity| {
            let (start, end) = read(&[india[0], india[1], ("granularity", granularity)]).unwrap().buckets();
            [start, end].map(|at| at.format(&Rfc3339).unwrap())
        };
        assert_eq!(buckets("minute"), ["2026-11-27T18:30:00Z", "2026-11-28T18:30:00Z"]);
        assert_eq!(buckets("hour"), ["2026-11-27T18:00:00Z", "2026-11-28T19:00:00Z"]);
        assert_eq!(buckets("day"), ["2026-11-27T00:00:00Z", "2026-11-29T00:00:00Z"]);
    }

    #[test]
    fn nothing_asks_for_the_last_hour_by_minute() {
        let question = read(&[]).unwrap();
        assert_eq!(question.granularity, Granularity::Minute);
        assert_eq!(question.end - question.start, Duration::HOUR);
    }

    #[test]
    fn filters_and_groups_become_bound_values_and_known_columns() {
        let question = read(&[
            ("granularity", "hour"),
            ("start_time", "2026-01-01T00:30:00Z"),
            ("end_time", "2026-01-02T00:00:00 01:00"),
            ("country", "de"),
            ("group_by", "campaign_id,device_type"),
        ])
        .unwrap();
        let sql = question.sql(Some(&AdvertiserId::unchecked("adv_001"))).into_sql();
        assert!(
            sql.as_str()
                .contains("FROM click_hours WHERE bucket >= $1 AND bucket < $2 AND advertiser_id = $3"),
            "{sql:?}"
        );
        assert!(sql.as_str().contains("country = $4 GROUP BY bucket, campaign_id, device_type"), "{sql:?}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, field) in [
            (vec![("granularity", "second")], "granularity"),
            (vec![("start_time", "yesterday")], "start_time"),
            (vec![("start_time", "2030-01-01T00:00:00Z")], "start_time"),
            (vec![("start_time", "2026-01-01T00:00:00Z")], "start_time"),
            (vec![("group_by", "user_id")], "group_by"),
            (vec![("country", "Atlantis")], "country"),
            (vec![("group_by", "ad_id,ad_id")], "group_by"),
            (vec![("end_time", "9999-12-31T23:59:59-23:59")], "end_time"),
            (vec![("campaign_id", "a\0")], "campaign_id"),
            (vec![("device_type", "'; DROP TABLE clicks")], "device_type"),
            (vec![("country", "DE"), ("country", "FR")], "country"),
            (vec![("frobnicate", "1")], "frobnicate"),
        ] {
            let rejection = read(&query).unwrap_err();
            assert_eq!(rejection.field_errors.keys().collect::<Vec<_>>(), [field], "{query:?}");
        }
    }
}

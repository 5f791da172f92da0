//! `GET /api/v1/analytics/aggregate`: counts by minute, hour or day.
//!
//! The range is `[start_time, end_time)`, widened to whole buckets. Table and column names come
//! from enums, values are bound.

mod uniques;

use std::{collections::BTreeMap, time::Instant};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use clickwire_protocol::{
    analytics::{Aggregate, AggregateRow, Dimension, Granularity},
    click::{self, Rejection},
    country,
    counts::{Counts, DeviceType},
};
use sqlx::{Postgres, QueryBuilder, Row as _, postgres::PgRow};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    AppState,
    access::Caller,
    database,
    error::Error,
    openapi::{self, Refused},
    watermark::Watermark,
};

/// Buckets in one answer, at most: a week of minutes.
const MAX_BUCKETS: i64 = 10_080;

/// Rows in one answer, at most.
const MAX_ROWS: usize = 50_000;

/// What is asked, checked.
#[derive(Debug, PartialEq)]
struct Question {
    advertiser_id: Option<String>,
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
    responses((status = 200, body = Aggregate), Refused<(openapi::Scoped, openapi::Input, openapi::Shared)>))]
pub(crate) async fn aggregate(
    State(state): State<AppState>,
    caller: Caller,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Aggregate>, Error> {
    let Query(parameters) =
        query.map_err(|_| Error::Invalid(Rejection::form("The query string can't be read.")))?;
    let question = Question::read(parameters, OffsetDateTime::now_utc()).map_err(Error::Invalid)?;
    let advertiser_id = caller.scope.advertiser_or_all(question.advertiser_id.as_deref())?;

    let started = Instant::now();
    let mut tenants = state.tenants.begin(&caller, advertiser_id).await?;
    // Before the rows: what is called final is in them.
    let watermark = database::answer(Watermark::read(&mut *tenants, state.partitions)).await?;
    let rows = database::answer(question.sql(advertiser_id).build().fetch_all(&mut *tenants)).await?;
    if rows.len() > MAX_ROWS {
        let message = format!(
            "More than {MAX_ROWS} rows: ask for a shorter time, a coarser granularity or fewer groups."
        );
        return Err(Error::Invalid(Rejection::form(message)));
    }
    let data = rows.iter().map(|row| question.row(row)).collect::<Result<Vec<_>, _>>()?;
    let total_clicks = data.iter().map(|row| row.clicks).sum();
    let mut answer =
        Aggregate { data, total_clicks, final_before: watermark.final_before(), ..Aggregate::default() };
    uniques::fill(&mut answer, &question, advertiser_id, &mut tenants).await?;
    let elapsed = started.elapsed();
    metrics::histogram!("clickwire_query_seconds", "query" => "aggregate").record(elapsed);
    answer.query_time_ms = elapsed.as_secs_f64() * 1e3;
    Ok(Json(answer))
}

impl Question {
    fn read(parameters: Vec<(String, String)>, now: OffsetDateTime) -> Result<Self, Rejection> {
        let mut given = Parameters { values: BTreeMap::new(), rejection: Rejection::default() };
        for (name, value) in parameters {
            if given.values.insert(name.clone(), value).is_some() {
                given.reject(&name, "Given more than once.");
            }
        }
        let granularity = given.take("granularity", granularity).unwrap_or_default();
        let end = given.take("end_time", instant).unwrap_or(now);
        let start = given.take("start_time", instant).unwrap_or(end - default_range(granularity));
        let group_by =
            given.take("group_by", |text| text.split(',').map(dimension).collect()).unwrap_or_default();
        let advertiser_id = given.take("advertiser_id", click::id);
        let mut filters = Vec::new();
        for dimension in Dimension::ALL {
            let value = given.take(dimension.as_str(), |text| filter_value(dimension, text));
            filters.extend(value.map(|value| (dimension, value)));
        }
        if start >= end {
            given.reject("start_time", "Must be before end_time.");
        } else if (end - start).whole_seconds() / width(granularity).whole_seconds() > MAX_BUCKETS {
            given.reject("start_time", &format!("The range holds more than {MAX_BUCKETS} buckets."));
        }
        given.finish(Self { advertiser_id, granularity, start, end, filters, group_by })
    }

    fn sql(&self, advertiser_id: Option<&str>) -> QueryBuilder<Postgres> {
        let table = match self.granularity {
            Granularity::Minute => "click_minutes",
            Granularity::Hour => "click_hours",
            Granularity::Day => "click_days",
        };
        let groups: String =
            self.group_by.iter().map(|dimension| format!(", {}", dimension.as_str())).collect();
        let width_seconds = width(self.granularity).whole_seconds();
        let mut sql = QueryBuilder::new("SELECT bucket");
        sql.push(&groups);
        for column in ["valid", "duplicate", "givt", "sivt", "test", "defective"] {
            sql.push(format!(", sum({column})::bigint AS {column}"));
        }
        sql.push(format!(" FROM {table} WHERE bucket >= ")).push_bind(floor(self.start, width_seconds));
        sql.push(" AND bucket < ").push_bind(self.end);
        if let Some(advertiser_id) = advertiser_id {
            sql.push(" AND advertiser_id = ").push_bind(advertiser_id.to_owned());
        }
        for (dimension, value) in &self.filters {
            sql.push(format!(" AND {} = ", dimension.as_str())).push_bind(value.clone());
        }
        sql.push(format!(" GROUP BY bucket{groups} ORDER BY bucket{groups} LIMIT {}", MAX_ROWS + 1));
        sql
    }

    fn row(&self, row: &PgRow) -> Result<AggregateRow, sqlx::Error> {
        let counts = Counts {
            valid: row.try_get("valid")?,
            duplicate: row.try_get("duplicate")?,
            givt: row.try_get("givt")?,
            sivt: row.try_get("sivt")?,
            test: row.try_get("test")?,
            defective: row.try_get("defective")?,
        };
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

/// Takes parameters out one by one; what is left at the end is unknown.
struct Parameters {
    values: BTreeMap<String, String>,
    rejection: Rejection,
}

impl Parameters {
    fn take<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.values.remove(name)?;
        read(&value).map_err(|message| self.reject(name, &message)).ok()
    }

    fn reject(&mut self, name: &str, message: &str) {
        self.rejection.field_errors.entry(name.to_owned()).or_default().push(message.to_owned());
    }

    fn finish<T>(mut self, value: T) -> Result<T, Rejection> {
        for name in std::mem::take(&mut self.values).into_keys() {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(click::MAX_ID_BYTES).collect();
            self.reject(&shown, "Unknown parameter.");
        }
        if self.rejection.field_errors.is_empty() { Ok(value) } else { Err(self.rejection) }
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

fn instant(text: &str) -> Result<OffsetDateTime, String> {
    // A `+` in a query string reads as a space.
    OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339)
        .map_err(|_| "Expected an RFC 3339 time, such as 2026-01-31T12:00:00Z.".to_owned())
}

fn dimension(text: &str) -> Result<Dimension, String> {
    text.trim().parse().map_err(|error| format!("{error}."))
}

fn filter_value(dimension: Dimension, text: &str) -> Result<String, String> {
    match dimension {
        Dimension::CampaignId | Dimension::AdId => click::id(text),
        Dimension::Country => country::asked(text),
        Dimension::DeviceType => text
            .parse::<DeviceType>()
            .map(|device| device.as_str().to_owned())
            .map_err(|error| format!("{error}.")),
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
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<Question, Rejection> {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        Question::read(query.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(), now)
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
        let sql = question.sql(Some("adv_001")).into_sql();
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
            (vec![("device_type", "'; DROP TABLE clicks")], "device_type"),
            (vec![("country", "DE"), ("country", "FR")], "country"),
            (vec![("frobnicate", "1")], "frobnicate"),
        ] {
            let rejection = read(&query).unwrap_err();
            assert_eq!(rejection.field_errors.keys().collect::<Vec<_>>(), [field], "{query:?}");
        }
    }
}

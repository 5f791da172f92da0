//! `GET /api/v1/analytics/timeseries`, `breakdown` and `summary`: any question about any range.
//!
//! A report is about whole minutes and says which; its totals are the same for every granularity, because each
//! piece of the range is read from the widest buckets that lie in it whole. The ledger answers what is not kept in
//! buckets (operating systems, browsers, the knowledge of a moment), as far as it reaches back.
//!
//! - [`question`]: a question, checked; [`calendar`]: the time zone's buckets
//! - [`plan`]: the tables to read; [`statements`]: the SQL
//! - [`rows`], [`uniques`]: what the tables hold; [`ask`]: the reports made of it

pub(super) mod ask;
mod calendar;
mod plan;
pub(super) mod question;
mod rows;
mod statements;
mod uniques;

use std::sync::Arc;

use axum::{Json, extract::State};
use clickwire_protocol::report::{Breakdown, Compare, Dimension, Summary, Timeseries, UNKNOWN};
use time::OffsetDateTime;
use utoipa::IntoParams;

use self::{
    ask::Asker,
    question::{Kind, Question},
};
use crate::{
    http::{
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::Caller,
    query::state::QueryState,
};

/// Buckets in one answer, at most: a week of minutes.
const MAX_BUCKETS: usize = 10_080;

/// Rows in one answer, at most.
const MAX_ROWS: usize = 50_000;

/// Clicks that a question to the ledger may be about, at most: about a second of reading.
const MAX_CLICKS: i64 = 2_000_000;

/// Clicks whose users are counted one by one, at most.
const MAX_COUNTED_USERS: i64 = 200_000;

/// The ledger's expression for a dimension that is a column, of a row named `c`.
pub(super) fn of_click(dimension: Dimension) -> String {
    if dimension.is_of_the_ledger() {
        format!("coalesce(c.{dimension}, '{UNKNOWN}')")
    } else {
        format!("c.{dimension}")
    }
}

/// The parameters of every report.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the document alone: parameters are read by `Question`")]
pub(crate) struct Common {
    /// Start of the range; by default as many whole buckets before the end as make a chart.
    start_time: Option<OffsetDateTime>,
    /// End of the range, exclusive; by default now.
    end_time: Option<OffsetDateTime>,
    /// IANA time zone of buckets, hours of the day and weekdays; by default `UTC`.
    time_zone: Option<String>,
    /// The advertiser; without it a caller that sees all advertisers asks about all.
    advertiser_id: Option<String>,
    /// One value or several, separated by commas, as with all filters.
    campaign_id: Option<String>,
    ad_id: Option<String>,
    country: Option<String>,
    device_type: Option<String>,
    /// The operating system; from the ledger, as far as it reaches back.
    os: Option<String>,
    /// The browser; from the ledger, as far as it reaches back.
    browser: Option<String>,
    /// All values but these, as with all exclusions.
    exclude_campaign_id: Option<String>,
    exclude_ad_id: Option<String>,
    exclude_country: Option<String>,
    exclude_device_type: Option<String>,
    exclude_os: Option<String>,
    exclude_browser: Option<String>,
    /// The period to compare with.
    #[param(inline)]
    compare: Option<Compare>,
    /// Moment whose knowledge is asked for: clicks received until then, with the verdicts of then. From the ledger.
    as_of: Option<OffsetDateTime>,
    /// Distinct users are counted, too.
    unique_users: Option<bool>,
}

/// The parameters of reports in groups.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the document alone: parameters are read by `Question`")]
pub(crate) struct Grouped {
    /// One to three of `advertiser_id`, `campaign_id`, `ad_id`, `country`, `device_type`, `os`, `browser`,
    /// `hour_of_day`, `weekday`, separated by commas. Of a question about one advertiser `advertiser_id` makes one group.
    group_by: Option<String>,
    /// A number or a dimension, with `-` in front to descend; by default `-clicks`.
    order_by: Option<String>,
    /// Groups that are told apart; the rest is one group, `other`.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<usize>,
}

/// Numbers of a range.
#[utoipa::path(get, path = "/api/v1/analytics/summary", tag = "viewer", params(Common),
    responses((status = 200, body = Summary), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn summary(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<Summary>, Error> {
    ask_summary(&state, &caller, parameters).await.map(Json)
}

/// Numbers of a range by group.
#[utoipa::path(get, path = "/api/v1/analytics/breakdown", tag = "viewer", params(Common, Grouped),
    responses((status = 200, body = Breakdown), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn breakdown(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<Breakdown>, Error> {
    ask_breakdown(&state, &caller, parameters).await.map(Json)
}

/// Numbers of a range by bucket of time, and by group.
///
/// Buckets without clicks are there, with zeros. The first and the last one may be partial: the range is what was
/// asked for.
#[utoipa::path(get, path = "/api/v1/analytics/timeseries", tag = "viewer",
    params(
        ("granularity" = Option<String>, Query, description = "`minute`, `hour`, `day`, `week`, `month`, or, by default, `auto`: minutes for up to 8 hours, hours for up to 10 days, days for up to 180, weeks for up to 1,095, else months."),
        Common, Grouped,
    ),
    responses((status = 200, body = Timeseries), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn timeseries(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<Timeseries>, Error> {
    ask_timeseries(&state, &caller, parameters).await.map(Json)
}

/// The numbers of a range, for whichever door asks.
pub(crate) async fn ask_summary(
    state: &Arc<QueryState>,
    caller: &Caller,
    parameters: Parameters,
) -> Result<Summary, Error> {
    let question = Question::read(Kind::Summary, parameters, OffsetDateTime::now_utc())?;
    Asker::begin(state, caller, &question).await?.summary(&question).await
}

/// The numbers of a range by group, for whichever door asks.
pub(crate) async fn ask_breakdown(
    state: &Arc<QueryState>,
    caller: &Caller,
    parameters: Parameters,
) -> Result<Breakdown, Error> {
    let question = Question::read(Kind::Breakdown, parameters, OffsetDateTime::now_utc())?;
    Asker::begin(state, caller, &question).await?.breakdown(&question).await
}

/// The numbers of a range by bucket of time, for whichever door asks.
pub(crate) async fn ask_timeseries(
    state: &Arc<QueryState>,
    caller: &Caller,
    parameters: Parameters,
) -> Result<Timeseries, Error> {
    let question = Question::read(Kind::Timeseries, parameters, OffsetDateTime::now_utc())?;
    Asker::begin(state, caller, &question).await?.timeseries(&question).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// A time as a client may send it, mostly at the edges of the years that there are.
    pub(super) fn time() -> impl Strategy<Value = String> {
        let year = prop_oneof![Just(0), Just(1), Just(9_998), Just(9_999), 0..=9_999_u32];
        let day = prop_oneof![Just("01-01".to_owned()), Just("12-31".to_owned()), "0[1-9]-[012][1-8]"];
        let hour =
            prop_oneof![Just("00:00:00"), Just("23:59:59"), Just("23:59:60"), Just("23:59:59.999999999")];
        let zone = prop_oneof![Just("Z"), Just("+23:59"), Just("-23:59"), Just("-00:01"), Just("+05:30")];
        (year, day, hour, zone).prop_map(|(year, day, hour, zone)| format!("{year:04}-{day}T{hour}{zone}"))
    }
}

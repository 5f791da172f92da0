//! Questions about counts and clicks.

use clickwire_protocol::{
    analytics::{self, Aggregate},
    counts::Disposition,
    ids::AdvertiserId,
    ledger::ClickPage,
    report::{Breakdown, Compare, Dimension, Granularity, Summary, Timeseries},
};
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{Connection, Error};

/// The range and the clicks that a report is about. What is left out the server chooses: docs/integrate/reports.md.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportQuery {
    /// The advertiser of the clicks; callers that see all advertisers may leave it out.
    pub advertiser_id: Option<AdvertiserId>,
    /// The start of the range.
    pub start_time: Option<OffsetDateTime>,
    /// The end of the range, exclusive.
    pub end_time: Option<OffsetDateTime>,
    /// IANA time zone of buckets, hours of the day and weekdays.
    pub time_zone: Option<String>,
    /// Only these values of a dimension.
    pub filters: Vec<(Dimension, Vec<String>)>,
    /// All values of a dimension but these.
    pub exclusions: Vec<(Dimension, Vec<String>)>,
    /// The period to compare with.
    pub compare: Option<Compare>,
    /// The moment of the data: the answer says what was known then.
    pub as_of: Option<OffsetDateTime>,
    /// Distinct users are counted, too.
    pub unique_users: bool,
}

/// The groups of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouping {
    /// One to three dimensions; a time series may have none.
    pub group_by: Vec<Dimension>,
    /// A number or a dimension, with `-` in front to descend; `-clicks` if it is left out.
    pub order_by: Option<String>,
    /// Groups that are told apart; the rest is one.
    pub limit: Option<u32>,
}

/// A question of `GET /api/v1/analytics/aggregate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AggregateQuery {
    /// The advertiser of the clicks; callers that see all advertisers may leave it out.
    pub advertiser_id: Option<AdvertiserId>,
    /// The start of the range.
    pub start_time: Option<OffsetDateTime>,
    /// The end of the range, exclusive.
    pub end_time: Option<OffsetDateTime>,
    /// Width of the buckets.
    pub granularity: analytics::Granularity,
    /// Only this value of a dimension.
    pub filters: Vec<(analytics::Dimension, String)>,
    /// A row a bucket and combination of these.
    pub group_by: Vec<analytics::Dimension>,
}

/// A search for clicks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClickQuery {
    /// The click's id; all of the ledger is searched then.
    pub click_id: Option<Uuid>,
    /// The advertiser of the clicks; callers that see all advertisers may leave it out.
    pub advertiser_id: Option<AdvertiserId>,
    /// The start of the range; a day before the end if it is left out.
    pub start_time: Option<OffsetDateTime>,
    /// The end of the range, exclusive.
    pub end_time: Option<OffsetDateTime>,
    /// Only this value of a dimension that is a column.
    pub filters: Vec<(Dimension, String)>,
    /// The user of the clicks.
    pub user_id: Option<String>,
    /// Only what is counted as one of these.
    pub dispositions: Vec<Disposition>,
    /// Only what this rule has decided.
    pub rule: Option<String>,
    /// The moment of the data: the answer says what was known then.
    pub as_of: Option<OffsetDateTime>,
}

impl Connection {
    /// Counts by minute, hour or day.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn aggregate(&mut self, query: &AggregateQuery) -> Result<Aggregate, Error> {
        self.question("/api/v1/analytics/aggregate", query.parameters()?).await
    }

    /// Numbers of a range.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn summary(&mut self, query: &ReportQuery) -> Result<Summary, Error> {
        self.question("/api/v1/analytics/summary", query.parameters()?).await
    }

    /// Numbers of a range by group.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn breakdown(&mut self, query: &ReportQuery, grouping: &Grouping) -> Result<Breakdown, Error> {
        self.question("/api/v1/analytics/breakdown", query.parameters()?.and(&grouping.parameters())).await
    }

    /// Numbers of a range by bucket and group; without a granularity the server chooses one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn timeseries(
        &mut self,
        query: &ReportQuery,
        granularity: Option<Granularity>,
        grouping: &Grouping,
    ) -> Result<Timeseries, Error> {
        let parameters = query.parameters()?.and(&grouping.parameters());
        let parameters = parameters.text("granularity", granularity.map(Granularity::as_str));
        self.question("/api/v1/analytics/timeseries", parameters).await
    }

    /// One page of clicks, the latest first; `after` is the `next` of the page before.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn clicks(&mut self, query: &ClickQuery, after: Option<&str>) -> Result<ClickPage, Error> {
        self.question("/api/v1/clicks", query.parameters()?.text("after", after)).await
    }

    async fn question<T: serde::de::DeserializeOwned>(
        &mut self,
        path: &str,
        asked: Parameters,
    ) -> Result<T, Error> {
        self.ask(Method::GET, &asked.of(path), &[], Vec::new()).await
    }
}

/// The query of a URL, with its question mark.
#[derive(Default)]
pub(crate) struct Parameters(String);

impl Parameters {
    pub(crate) fn text(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            let separator = if self.0.is_empty() { '?' } else { '&' };
            self.0.push(separator);
            self.0.push_str(name);
            self.0.push('=');
            self.0.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        self
    }

    pub(crate) fn time(self, name: &str, at: Option<OffsetDateTime>) -> Result<Self, Error> {
        let text = at.map(|at| at.format(&Rfc3339)).transpose();
        let text = text.map_err(|error| Error::Unsendable(format!("{name}: {error}")))?;
        Ok(self.text(name, text.as_deref()))
    }

    fn list(self, name: &str, values: &[impl AsRef<str>]) -> Self {
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        if values.is_empty() { self } else { self.text(name, Some(&values.join(","))) }
    }

    pub(crate) fn and(mut self, more: &Self) -> Self {
        if !self.0.is_empty() && !more.0.is_empty() {
            self.0.push('&');
            self.0.push_str(&more.0[1..]);
        } else {
            self.0.push_str(&more.0);
        }
        self
    }

    /// The path with the query.
    pub(crate) fn of(self, path: &str) -> String {
        format!("{path}{}", self.0)
    }

    fn range(
        self,
        advertiser_id: Option<&AdvertiserId>,
        start_time: Option<OffsetDateTime>,
        end_time: Option<OffsetDateTime>,
    ) -> Result<Self, Error> {
        self.text("advertiser_id", advertiser_id.map(AdvertiserId::as_str))
            .time("start_time", start_time)?
            .time("end_time", end_time)
    }
}

impl ReportQuery {
    pub(crate) fn parameters(&self) -> Result<Parameters, Error> {
        let mut asked = Parameters::default()
            .range(self.advertiser_id.as_ref(), self.start_time, self.end_time)?
            .text("time_zone", self.time_zone.as_deref())
            .time("as_of", self.as_of)?;
        for (dimension, values) in &self.filters {
            asked = asked.list(dimension.as_str(), values);
        }
        for (dimension, values) in &self.exclusions {
            asked = asked.list(&format!("exclude_{dimension}"), values);
        }
        let compare = self.compare.map(|compare| match compare {
            Compare::Previous => "previous",
            Compare::Year => "year",
        });
        Ok(asked.text("compare", compare).text("unique_users", self.unique_users.then_some("true")))
    }
}

impl Grouping {
    pub(crate) fn parameters(&self) -> Parameters {
        let group_by: Vec<&str> = self.group_by.iter().map(|dimension| dimension.as_str()).collect();
        Parameters::default()
            .list("group_by", &group_by)
            .text("order_by", self.order_by.as_deref())
            .text("limit", self.limit.map(|limit| limit.to_string()).as_deref())
    }
}

impl AggregateQuery {
    fn parameters(&self) -> Result<Parameters, Error> {
        let granularity = match self.granularity {
            analytics::Granularity::Minute => "minute",
            analytics::Granularity::Hour => "hour",
            analytics::Granularity::Day => "day",
        };
        let mut asked = Parameters::default()
            .range(self.advertiser_id.as_ref(), self.start_time, self.end_time)?
            .text("granularity", Some(granularity));
        for (dimension, value) in &self.filters {
            asked = asked.text(dimension.as_str(), Some(value));
        }
        let group_by: Vec<&str> = self.group_by.iter().map(|dimension| dimension.as_str()).collect();
        Ok(asked.list("group_by", &group_by))
    }
}

impl ClickQuery {
    pub(crate) fn parameters(&self) -> Result<Parameters, Error> {
        let mut asked = Parameters::default()
            .range(self.advertiser_id.as_ref(), self.start_time, self.end_time)?
            .text("click_id", self.click_id.map(|id| id.to_string()).as_deref())
            .text("user_id", self.user_id.as_deref())
            .text("rule", self.rule.as_deref())
            .time("as_of", self.as_of)?;
        for (dimension, value) in &self.filters {
            asked = asked.text(dimension.as_str(), Some(value));
        }
        let dispositions: Vec<&str> =
            self.dispositions.iter().map(|disposition| disposition.as_str()).collect();
        Ok(asked.list("disposition", &dispositions))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_question_is_written_as_the_api_has_it() {
        let query = ReportQuery {
            advertiser_id: Some(AdvertiserId::new("adv_001").unwrap()),
            start_time: Some(datetime!(2026-11-01 00:00 +1)),
            time_zone: Some("Europe/Berlin".to_owned()),
            filters: vec![(Dimension::Country, vec!["DE".to_owned(), "FR".to_owned()])],
            exclusions: vec![(Dimension::Os, vec!["Windows 10".to_owned()])],
            compare: Some(Compare::Year),
            unique_users: true,
            ..ReportQuery::default()
        };
        let grouping =
            Grouping { group_by: vec![Dimension::AdId, Dimension::Weekday], order_by: None, limit: Some(3) };
        let path = query.parameters().unwrap().and(&grouping.parameters()).of("/p");
        assert_eq!(
            path,
            "/p?advertiser_id=adv%5F001&start_time=2026%2D11%2D01T00%3A00%3A00%2B01%3A00&time_zone=Europe%2FBerlin\
             &country=DE%2CFR&exclude_os=Windows%2010&compare=year&unique_users=true&group_by=ad%5Fid%2Cweekday&limit=3"
        );
    }

    #[test]
    fn what_is_left_out_is_not_sent() {
        assert_eq!(ReportQuery::default().parameters().unwrap().of("/p"), "/p");
        assert_eq!(ClickQuery::default().parameters().unwrap().and(&Parameters::default()).of("/p"), "/p");
        let grouping = Grouping { limit: Some(1), ..Grouping::default() };
        assert_eq!(Parameters::default().and(&grouping.parameters()).of("/p"), "/p?limit=1");
        assert_eq!(AggregateQuery::default().parameters().unwrap().of("/p"), "/p?granularity=minute");
    }
}

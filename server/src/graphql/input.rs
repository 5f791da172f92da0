//! Arguments as the parameters that REST takes: so both doors are checked by the same code.

use async_graphql::{Enum, InputObject};
use clickwire_protocol::{analytics, report};

use super::{
    report::Granularity,
    scalar::{DateTime, Long},
};
use crate::http::{error::Error, parameters::Parameters};

/// A dimension that a report is grouped or filtered by.
#[derive(Enum, Copy, Clone, Eq, PartialEq)]
#[graphql(remote = "report::Dimension")]
pub(super) enum Dimension {
    /// The advertiser, for groups: a report names its advertiser with `advertiserId`.
    AdvertiserId,
    CampaignId,
    AdId,
    Country,
    DeviceType,
    Os,
    Browser,
    HourOfDay,
    Weekday,
}

/// A number that rows are ordered by.
#[derive(Enum, Copy, Clone, Eq, PartialEq)]
#[graphql(remote = "report::Metric")]
pub(super) enum Metric {
    Clicks,
    Billable,
    FraudCount,
    Duplicates,
    Received,
    UniqueUsers,
}

/// The period that a report is compared with.
#[derive(Enum, Copy, Clone, Eq, PartialEq)]
#[graphql(remote = "report::Compare")]
pub(super) enum Compare {
    /// The period before.
    Previous,
    /// The same dates a year before.
    Year,
}

/// A dimension that live data is grouped by.
#[derive(Enum, Copy, Clone, Eq, PartialEq)]
#[graphql(remote = "analytics::Dimension")]
pub(super) enum LiveDimension {
    CampaignId,
    AdId,
    Country,
    DeviceType,
}

/// A filter: clicks that have one of these values, or none of them.
#[derive(InputObject)]
pub(super) struct Filter {
    dimension: Dimension,
    values: Vec<String>,
    /// All values but these.
    #[graphql(default)]
    exclude: bool,
}

/// The parameters of every report.
#[derive(InputObject, Default)]
pub(super) struct ReportInput {
    /// Start of the range; by default as many whole buckets before the end as make a chart.
    start_time: Option<DateTime>,
    /// Exclusive; by default now.
    end_time: Option<DateTime>,
    /// IANA time zone of buckets, hours of the day and weekdays; by default `UTC`.
    time_zone: Option<String>,
    /// Advertiser of the report; without it a caller that sees all advertisers asks about all.
    advertiser_id: Option<String>,
    #[graphql(default)]
    filters: Vec<Filter>,
    compare: Option<Compare>,
    /// Moment as of which is counted: clicks received until then, with the verdicts of then.
    as_of: Option<DateTime>,
    /// Distinct users are counted, too.
    #[graphql(default)]
    unique_users: bool,
}

/// The order of rows: by a number, or by a dimension that is grouped by.
#[derive(InputObject)]
pub(super) struct OrderBy {
    metric: Option<Metric>,
    dimension: Option<Dimension>,
    #[graphql(default = true)]
    descending: bool,
}

/// The grouping of a report, and the groups that are listed separately.
#[derive(InputObject, Default)]
pub(super) struct Grouping {
    /// One to three.
    #[graphql(default)]
    by: Vec<Dimension>,
    /// Order of the groups; by default the most clicks first.
    order_by: Option<OrderBy>,
    /// The rest is one group, `other`.
    limit: Option<Long>,
}

/// The parameters of a search for clicks.
#[derive(InputObject, Default)]
pub(super) struct ClickSearch {
    /// Its id; all of the ledger is searched then.
    click_id: Option<String>,
    /// Start of the range; by default a day before the end.
    start_time: Option<DateTime>,
    /// Exclusive; by default now.
    end_time: Option<DateTime>,
    /// Advertiser of the clicks; without it a caller that sees all advertisers searches all.
    advertiser_id: Option<String>,
    campaign_id: Option<String>,
    ad_id: Option<String>,
    country: Option<String>,
    device_type: Option<String>,
    os: Option<String>,
    browser: Option<String>,
    user_id: Option<String>,
    /// The hash of the address, as an incident names it; for operators.
    ip_hash: Option<String>,
    /// With a hash: whether keys bound to one advertiser have posted the clicks.
    bound: Option<bool>,
    /// One or several of `valid`, `duplicate`, `givt`, `sivt`, `test`, `defective`.
    disposition: Option<Vec<String>>,
    /// The rule that decided.
    rule: Option<String>,
    /// Moment as of which is searched.
    as_of: Option<DateTime>,
}

/// A view of live data.
#[derive(InputObject)]
pub(super) struct ViewInput {
    /// Required of a caller that sees more than one.
    pub(super) advertiser_id: Option<String>,
    pub(super) campaign_id: Option<String>,
    pub(super) ad_id: Option<String>,
    pub(super) country: Option<String>,
    pub(super) device_type: Option<String>,
    #[graphql(default)]
    pub(super) group_by: Vec<LiveDimension>,
    /// Minutes up to now, 1 to 240.
    #[graphql(default = 60)]
    pub(super) window_minutes: u32,
}

/// The end of a client's state of a view.
#[derive(InputObject)]
pub(super) struct PositionInput {
    pub(super) epoch: String,
    pub(super) seq: Long,
}

/// Parameters by name.
#[derive(Default)]
pub(super) struct Given(Vec<(String, String)>);

impl Given {
    /// Adds a parameter, if it has a value.
    pub(super) fn add(&mut self, name: &str, value: Option<impl Into<String>>) {
        self.0.extend(value.map(|value| (name.to_owned(), value.into())));
    }

    /// Adds one with several values. A comma would make two of one.
    fn add_list(&mut self, name: &str, values: &[String]) -> Result<(), Error> {
        if values.iter().any(|value| value.contains(',')) {
            return Err(Error::field(name, "A value has a comma in it."));
        }
        self.add(name, Some(values.join(",")));
        Ok(())
    }

    /// Returns them as the parameters of a question.
    pub(super) fn parameters(self) -> Parameters {
        Parameters::new(self.0)
    }
}

impl ReportInput {
    pub(super) fn add_to(self, given: &mut Given) -> Result<(), Error> {
        given.add("start_time", self.start_time.map(|at| at.0));
        given.add("end_time", self.end_time.map(|at| at.0));
        given.add("time_zone", self.time_zone);
        given.add("advertiser_id", self.advertiser_id);
        for Filter { dimension, values, exclude } in self.filters {
            let dimension = report::Dimension::from(dimension);
            if !report::Dimension::FILTERS.contains(&dimension) {
                return Err(Error::field("filters", "Not a dimension that is filtered by."));
            }
            let prefix = if exclude { "exclude_" } else { "" };
            given.add_list(&format!("{prefix}{dimension}"), &values)?;
        }
        given.add("compare", self.compare.map(|compare| report::Compare::from(compare).as_str()));
        given.add("as_of", self.as_of.map(|at| at.0));
        given.add("unique_users", self.unique_users.then_some("true"));
        Ok(())
    }
}

impl Grouping {
    pub(super) fn add_to(self, given: &mut Given) -> Result<(), Error> {
        let by: Vec<_> = self.by.into_iter().map(|by| report::Dimension::from(by).as_str()).collect();
        given.add("group_by", (!by.is_empty()).then(|| by.join(",")));
        if let Some(OrderBy { metric, dimension, descending }) = self.order_by {
            let name = match (metric, dimension) {
                (Some(metric), None) => report::Metric::from(metric).as_str(),
                (None, Some(dimension)) => report::Dimension::from(dimension).as_str(),
                (None, None) | (Some(_), Some(_)) => {
                    return Err(Error::field("order_by", "Give a metric or a dimension."));
                }
            };
            given.add("order_by", Some(format!("{}{name}", if descending { "-" } else { "" })));
        }
        given.add("limit", self.limit.map(|limit| limit.0.to_string()));
        Ok(())
    }
}

impl ClickSearch {
    pub(super) fn add_to(self, given: &mut Given) -> Result<(), Error> {
        let texts = [
            ("click_id", self.click_id),
            ("start_time", self.start_time.map(|at| at.0)),
            ("end_time", self.end_time.map(|at| at.0)),
            ("advertiser_id", self.advertiser_id),
            ("campaign_id", self.campaign_id),
            ("ad_id", self.ad_id),
            ("country", self.country),
            ("device_type", self.device_type),
            ("os", self.os),
            ("browser", self.browser),
            ("user_id", self.user_id),
            ("ip_hash", self.ip_hash),
            ("bound", self.bound.map(|bound| bound.to_string())),
            ("rule", self.rule),
            ("as_of", self.as_of.map(|at| at.0)),
        ];
        for (name, value) in texts {
            given.add(name, value);
        }
        self.disposition.map_or(Ok(()), |values| given.add_list("disposition", &values))
    }
}

/// The name of a granularity as a parameter.
pub(super) fn granularity(granularity: Granularity) -> &'static str {
    report::Granularity::from(granularity).as_str()
}

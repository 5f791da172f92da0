//! The URLs of the API's reports that an address asks for.

use clickwire_protocol::report::{Compare, Dimension, Metric};

use crate::{
    frame::View,
    http,
    query::{Query, Shape, Sort},
};

/// Lines of the chart; all other groups share one more line.
const LINES: usize = 5;

/// Rows of the table, at most.
const ROWS: usize = 1_000;

/// Dimensions that a row leads down to, in their order.
const DRILL: [Dimension; 6] = Dimension::FILTERS;

/// A page's question to the API.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::pages) struct Question {
    /// Parameters of every report.
    common: Vec<(String, String)>,
    /// Dimensions that rows are grouped by.
    pub(in crate::pages) group: Vec<Dimension>,
    /// The order of rows.
    pub(in crate::pages) sort: Sort,
    /// The metric that is drawn.
    pub(in crate::pages) metric: Metric,
    /// The shape of the drawing.
    pub(in crate::pages) shape: Shape,
    granularity: &'static str,
    /// Time of the question, in milliseconds since the Unix epoch.
    pub(in crate::pages) now_ms: i64,
}

/// Returns the dimensions that an address groups rows by; the campaign by default.
pub(in crate::pages) fn groups(query: &Query) -> Vec<Dimension> {
    if query.group.is_empty() { vec![Dimension::CampaignId] } else { query.group.clone() }
}

/// Returns the next dimension down that is not fixed yet.
pub(in crate::pages) fn next_down(query: &Query, from: Dimension) -> Option<Dimension> {
    let is_fixed = |dimension: &Dimension| {
        let mut filters = query.filters.iter();
        filters
            .any(|filter| filter.dimension == *dimension && !filter.is_exclusion && filter.values.len() == 1)
    };
    DRILL.into_iter().find(|dimension| *dimension != from && !is_fixed(dimension))
}

impl Question {
    /// Returns the question of a page at a moment.
    pub(in crate::pages) fn new(view: &View, now_ms: i64) -> Self {
        let query = &view.place.query;
        let group = groups(query);
        let metric = query.metric.unwrap_or(Metric::Clicks);
        let mut common: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| common.push((name.to_owned(), value));
        if let Some(scope) = &view.scope {
            add("advertiser_id", scope.to_string());
        }
        let (start, end) = view.times(now_ms);
        add("start_time", start);
        if let Some(end) = end {
            add("end_time", end);
        }
        add("time_zone", view.zone.name.to_string());
        for filter in &query.filters {
            let prefix = if filter.is_exclusion { "exclude_" } else { "" };
            add(&format!("{prefix}{}", filter.dimension), filter.values.join(","));
        }
        if let Some(compare) = query.compare {
            add("compare", compare.as_str().to_owned());
        }
        if metric == Metric::UniqueUsers {
            add("unique_users", "true".to_owned());
        }
        let by_number = Sort { by: metric.as_str().to_owned(), descends: true };
        let orders = |sort: &Sort| {
            // Users are counted only where they are drawn.
            let is_counted = |known: Metric| known != Metric::UniqueUsers || known == metric;
            let is_number = Metric::ALL.iter().any(|known| known.as_str() == sort.by && is_counted(*known));
            is_number || group.iter().any(|dimension| dimension.as_str() == sort.by)
        };
        let sort = query.sort.clone().filter(orders).unwrap_or(by_number);
        // Distinct users of parts don't add up: they are not stacked.
        let shape = if metric == Metric::UniqueUsers { Shape::Lines } else { query.shape };
        let granularity = query.granularity.map_or("auto", |granularity| granularity.as_str());
        Self { common, group, sort, metric, shape, granularity, now_ms }
    }

    fn url(&self, path: &str, more: &[(&str, String)]) -> String {
        let common = self.common.iter().map(|(name, value)| (name.as_str(), Some(value.clone())));
        let more = more.iter().map(|(name, value)| (*name, Some(value.clone())));
        http::url(path, common.chain(more))
    }

    fn grouped(&self, group: &[Dimension], sort: &Sort, limit: usize) -> Vec<(&'static str, String)> {
        let names: Vec<&str> = group.iter().map(|dimension| dimension.as_str()).collect();
        vec![("group_by", names.join(",")), ("order_by", sort.write()), ("limit", limit.to_string())]
    }

    /// Returns the URL of the annotations in the range.
    pub(super) fn annotations(&self) -> String {
        let names = ["advertiser_id", "start_time", "end_time"];
        let asked = self.common.iter().filter(|(name, _)| names.contains(&name.as_str()));
        http::url(
            "/api/v1/analytics/annotations",
            asked.map(|(name, value)| (name.as_str(), Some(value.clone()))),
        )
    }

    /// Returns the URL of the numbers over time, by the first group.
    pub(in crate::pages) fn timeseries(&self) -> String {
        let mut more = vec![("granularity", self.granularity.to_owned())];
        if let Some(group) = self.drawn_by() {
            let sort = Sort { by: self.metric.as_str().to_owned(), descends: true };
            more.extend(self.grouped(&[group], &sort, LINES));
        }
        self.url("/api/v1/analytics/timeseries", &more)
    }

    /// Returns the dimension that separates lines; `None` for a part of the time, such as the weekday.
    pub(in crate::pages) fn drawn_by(&self) -> Option<Dimension> {
        self.group.first().copied().filter(|dimension| !dimension.is_time())
    }

    /// Returns the URL of the numbers by group.
    pub(in crate::pages) fn breakdown(&self) -> String {
        self.url("/api/v1/analytics/breakdown", &self.grouped(&self.group, &self.sort, ROWS))
    }

    /// Returns the URL of the groups with the most of the drawn metric.
    pub(in crate::pages) fn top(&self, group: &[Dimension], limit: usize) -> String {
        let sort = Sort { by: self.metric.as_str().to_owned(), descends: true };
        self.url("/api/v1/analytics/breakdown", &self.grouped(group, &sort, limit))
    }

    /// Returns the URL of the same rows as a file.
    pub(in crate::pages) fn file(&self, format: &str) -> String {
        let mut more = self.grouped(&self.group, &self.sort, ROWS);
        more.push(("format", format.to_owned()));
        self.url("/api/v1/exports/breakdown", &more)
    }

    /// Returns whether there is a period to compare with.
    pub(in crate::pages) fn compares(&self) -> bool {
        let names = [Compare::Previous, Compare::Year].map(Compare::as_str);
        self.common.iter().any(|(name, value)| name == "compare" && names.contains(&value.as_str()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clickwire_protocol::ids::AdvertiserId;

    use super::*;
    use crate::{router::Place, zone::Zone};

    pub(in super::super) fn view(query: &str) -> View {
        let place = Place::read("/explore", query);
        let scope: Option<AdvertiserId> = place.query.scope.clone();
        View { place, scope, zone: Zone::utc() }
    }

    const NOW_MS: i64 = 1_795_894_205_250; // 2026-11-28T19:30:05.250Z

    fn asked(query: &str) -> (String, String) {
        let question = Question::new(&view(query), NOW_MS);
        let part = |url: String| url.split_once('?').map(|(_, part)| part.to_owned()).unwrap_or_default();
        (part(question.timeseries()), part(question.breakdown()))
    }

    #[test]
    fn an_address_asks_for_what_it_says() {
        let day = "start_time=2026-11-27T19:30:00Z&time_zone=UTC";
        for (query, series, table) in [
            (
                "",
                format!("{day}&granularity=auto&group_by=campaign_id&order_by=-clicks&limit=5"),
                format!("{day}&group_by=campaign_id&order_by=-clicks&limit=1000"),
            ),
            (
                "a=adv_001&by=country,device&m=billable&s=country&g=hour&cmp=prev",
                format!(
                    "advertiser_id=adv_001&{day}&compare=previous&granularity=hour&group_by=country&order_by=-billable&limit=5"
                ),
                format!(
                    "advertiser_id=adv_001&{day}&compare=previous&group_by=country,device_type&order_by=country&limit=1000"
                ),
            ),
            (
                "r=2026-11-01..2026-11-02T12:00&f=device:mobile&f=!os:Windows%2010&by=hour",
                "start_time=2026-11-01T00:00:00Z&end_time=2026-11-02T12:00:00Z&time_zone=UTC&device_type=mobile&exclude_os=Windows%2010&granularity=auto".to_owned(),
                "start_time=2026-11-01T00:00:00Z&end_time=2026-11-02T12:00:00Z&time_zone=UTC&device_type=mobile&exclude_os=Windows%2010&group_by=hour_of_day&order_by=-clicks&limit=1000".to_owned(),
            ),
            (
                "s=browser&m=unique_users&v=stack",
                format!("{day}&unique_users=true&granularity=auto&group_by=campaign_id&order_by=-unique_users&limit=5"),
                format!("{day}&unique_users=true&group_by=campaign_id&order_by=-unique_users&limit=1000"),
            ),
            (
                "s=unique_users&m=unique_users",
                format!("{day}&unique_users=true&granularity=auto&group_by=campaign_id&order_by=-unique_users&limit=5"),
                format!("{day}&unique_users=true&group_by=campaign_id&order_by=unique_users&limit=1000"),
            ),
            (
                "s=unique_users",
                format!("{day}&granularity=auto&group_by=campaign_id&order_by=-clicks&limit=5"),
                format!("{day}&group_by=campaign_id&order_by=-clicks&limit=1000"),
            ),
        ] {
            assert_eq!(asked(query), (series, table), "{query}");
        }
        let top = Question::new(&view("by=country&s=country"), NOW_MS);
        let top = top.top(&[Dimension::AdvertiserId, Dimension::CampaignId], 10);
        assert!(top.ends_with("&group_by=advertiser_id,campaign_id&order_by=-clicks&limit=10"), "{top}");
        assert_eq!(Question::new(&view("m=unique_users&v=stack"), 0).shape, Shape::Lines);
        let happened = Question::new(&view("a=adv_001&r=1h&f=device:mobile&cmp=prev"), NOW_MS).annotations();
        assert_eq!(
            happened,
            "/api/v1/analytics/annotations?advertiser_id=adv_001&start_time=2026-11-28T18:30:00Z"
        );
        let file = Question::new(&view("r=1h"), NOW_MS).file("xlsx");
        assert!(file.starts_with("/api/v1/exports/breakdown?start_time=2026-11-28T18:30:00Z"), "{file}");
        assert!(file.ends_with("&format=xlsx"), "{file}");
    }

    #[test]
    fn a_row_leads_on_to_what_is_not_fixed_yet() {
        for (query, from, next) in [
            ("", Dimension::CampaignId, Some(Dimension::AdId)),
            ("f=campaign:c", Dimension::AdId, Some(Dimension::Country)),
            ("f=campaign:c&f=ad:a&f=country:DE", Dimension::DeviceType, Some(Dimension::Os)),
            ("f=campaign:c,d", Dimension::AdId, Some(Dimension::CampaignId)),
            ("f=campaign:c&f=ad:a&f=country:DE&f=device:mobile&f=os:x", Dimension::Browser, None),
        ] {
            assert_eq!(next_down(&Query::read(query), from), next, "{query}");
        }
    }
}

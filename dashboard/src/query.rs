//! The state of a page as the query of its address: a link shows the same to everybody who may see it.
//!
//! Names are short, for links are read and pasted by people. A part that can't be read is left out: a link of another
//! version still opens its page.

mod range;
mod text;

use std::fmt::Write as _;

use clickwire_protocol::{
    ids::AdvertiserId,
    report::{Compare, Dimension, Granularity, Metric},
};

use crate::theme::Theme;

pub use range::{LocalTime, Range};
pub use text::{decode, encode};

/// The form in which numbers are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// A line a group.
    #[default]
    Lines,
    /// Areas on top of each other.
    Stack,
    /// Bars on top of each other.
    Bars,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 3] = [Self::Lines, Self::Stack, Self::Bars];

    /// The name in an address.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Stack => "stack",
            Self::Bars => "bars",
        }
    }
}

/// A condition: some values of a dimension, or all but those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The dimension.
    pub dimension: Dimension,
    /// Its values, one at least.
    pub values: Vec<String>,
    /// All but these.
    pub is_exclusion: bool,
}

/// The order of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// A column's name.
    pub by: String,
    /// The largest first.
    pub descends: bool,
}

/// The state of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The advertiser whose clicks are shown.
    pub scope: Option<AdvertiserId>,
    /// Range of time; `None`: as the page has it.
    pub range: Option<Range>,
    /// The period to compare with.
    pub compare: Option<Compare>,
    /// Groups of rows.
    pub group: Vec<Dimension>,
    /// Conditions, one a dimension.
    pub filters: Vec<Filter>,
    /// The order of rows; `None`: as the page has it.
    pub sort: Option<Sort>,
    /// The number that is drawn; `None`: clicks.
    pub metric: Option<Metric>,
    /// IANA time zone; `None`: the browser's.
    pub zone: Option<String>,
    /// Width of buckets; `None`: whatever makes a chart.
    pub granularity: Option<Granularity>,
    /// Form in which numbers are drawn.
    pub shape: Shape,
    /// The line of a chart that is shown alone, by its group; `None`: all are shown.
    pub line: Option<String>,
    /// Columns of numbers that a table does not show, by their names.
    pub hidden: Vec<&'static str>,
    /// Charts show no marks of events.
    pub hides_happened: bool,
    /// Part of a list that is shown: open incidents, say.
    pub part: Option<String>,
    /// Text that is searched for.
    pub search: String,
    /// Colours of a page that has its own; `None`: as the page has them.
    pub colours: Option<Theme>,
}

/// The value in an address that hides something.
const HIDDEN: &str = "off";

/// Dimensions by their short names.
const DIMENSIONS: [(Dimension, &str); 9] = [
    (Dimension::AdvertiserId, "advertiser"),
    (Dimension::CampaignId, "campaign"),
    (Dimension::AdId, "ad"),
    (Dimension::Country, "country"),
    (Dimension::DeviceType, "device"),
    (Dimension::Os, "os"),
    (Dimension::Browser, "browser"),
    (Dimension::HourOfDay, "hour"),
    (Dimension::Weekday, "weekday"),
];

/// Columns of numbers by name, in the order in which an address has them.
const COLUMNS: [&str; 8] =
    ["clicks", "billable", "fraud_count", "invalid_rate", "duplicates", "received", "unique_users", "change"];

/// Choices of colours by name.
const THEMES: [(Theme, &str); 3] = [(Theme::Auto, "auto"), (Theme::Light, "light"), (Theme::Dark, "dark")];

/// A dimension's short name.
pub fn short(dimension: Dimension) -> &'static str {
    DIMENSIONS.iter().find(|(known, _)| *known == dimension).map_or("", |(_, name)| name)
}

fn dimension(name: &str) -> Option<Dimension> {
    DIMENSIONS.iter().find(|(_, known)| *known == name).map(|(dimension, _)| *dimension)
}

impl Query {
    /// Reads the query of an address.
    pub fn read(text: &str) -> Self {
        let mut query = Self::default();
        let pairs = text.trim_start_matches('?').split('&').filter_map(|pair| pair.split_once('='));
        for (name, value) in pairs {
            query.take(name, decode(value));
        }
        query
    }

    fn take(&mut self, name: &str, value: String) {
        match name {
            "a" => self.scope = AdvertiserId::new(&value).ok(),
            "r" => self.range = Range::read(&value),
            "cmp" => {
                self.compare = [("prev", Compare::Previous), ("year", Compare::Year)]
                    .into_iter()
                    .find_map(|(name, compare)| (name == value).then_some(compare));
            }
            "by" => {
                let mut group: Vec<Dimension> = value.split(',').filter_map(dimension).collect();
                group.truncate(2);
                if group.first() == group.get(1) {
                    group.truncate(1);
                }
                self.group = group;
            }
            "f" => {
                if let Some(filter) = Filter::read(&value) {
                    self.set_filter(filter);
                }
            }
            "s" if !value.is_empty() => {
                let descends = value.starts_with('-');
                self.sort = Some(Sort { by: value.trim_start_matches('-').to_owned(), descends });
            }
            "m" => self.metric = Metric::ALL.into_iter().find(|metric| metric.as_str() == value),
            "z" => self.zone = Some(value).filter(|zone| !zone.is_empty()),
            "g" => {
                self.granularity =
                    Granularity::ALL.into_iter().find(|granularity| granularity.as_str() == value);
            }
            "v" => {
                let known = Shape::ALL.into_iter().find(|shape| shape.as_str() == value);
                self.shape = known.unwrap_or_default();
            }
            "l" => self.line = Some(value).filter(|line| !line.is_empty()),
            "h" => {
                let is_named = |column: &&str| value.split(',').any(|name| name == *column);
                self.hidden = COLUMNS.into_iter().filter(is_named).collect();
            }
            "e" => self.hides_happened = value == HIDDEN,
            "p" => self.part = Some(value).filter(|part| !part.is_empty()),
            "q" => self.search = value,
            "t" => {
                self.colours = THEMES.into_iter().find_map(|(theme, name)| (name == value).then_some(theme));
            }
            _ => {}
        }
    }

    /// Returns the query of the address: with its question mark, or nothing.
    pub fn write(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, value: &str| {
            let separator = if text.is_empty() { '?' } else { '&' };
            // Writing to a string does not fail.
            write!(text, "{separator}{name}={}", encode(value)).ok();
        };
        if let Some(scope) = &self.scope {
            add("a", scope.as_str());
        }
        if let Some(range) = &self.range {
            add("r", &range.write());
        }
        if let Some(compare) = self.compare {
            add("cmp", if compare == Compare::Previous { "prev" } else { "year" });
        }
        if !self.group.is_empty() {
            let names: Vec<&str> = self.group.iter().copied().map(short).collect();
            add("by", &names.join(","));
        }
        for filter in &self.filters {
            add("f", &filter.write());
        }
        if let Some(sort) = &self.sort {
            add("s", &sort.write());
        }
        if let Some(metric) = self.metric {
            add("m", metric.as_str());
        }
        if let Some(zone) = &self.zone {
            add("z", zone);
        }
        if let Some(granularity) = self.granularity {
            add("g", granularity.as_str());
        }
        if self.shape != Shape::default() {
            add("v", self.shape.as_str());
        }
        if let Some(line) = &self.line {
            add("l", line);
        }
        if !self.hidden.is_empty() {
            add("h", &self.hidden.join(","));
        }
        if self.hides_happened {
            add("e", HIDDEN);
        }
        if let Some(part) = &self.part {
            add("p", part);
        }
        if !self.search.is_empty() {
            add("q", &self.search);
        }
        if let Some((_, name)) = THEMES.into_iter().find(|(theme, _)| Some(*theme) == self.colours) {
            add("t", name);
        }
        text
    }

    /// Returns the part of the state that goes on to another page: the advertiser, the range, the comparison, the zone.
    pub fn carried(&self) -> Self {
        Self {
            scope: self.scope.clone(),
            range: self.range.clone(),
            compare: self.compare,
            zone: self.zone.clone(),
            ..Self::default()
        }
    }

    /// Returns the part of the state that a report is asked by: not what is shown of its answer.
    pub fn asked(&self) -> Self {
        Self { line: None, hidden: Vec::new(), hides_happened: false, search: String::new(), ..self.clone() }
    }

    /// Groups rows otherwise. Their order and what was searched for in their names are of the groups before; the line that
    /// is shown alone is of the first of them.
    pub fn group_by(&mut self, group: Vec<Dimension>) {
        if self.group.first() != group.first() {
            self.line = None;
        }
        self.group = group;
        self.sort = None;
        self.search.clear();
    }

    /// Hides a column of numbers, or shows it again.
    pub fn toggle_column(&mut self, name: &'static str) {
        let is_hidden = self.hidden.contains(&name);
        self.hidden = COLUMNS
            .into_iter()
            .filter(|known| if *known == name { !is_hidden } else { self.hidden.contains(known) })
            .collect();
    }

    /// Puts a filter in the place of the one of its dimension.
    pub fn set_filter(&mut self, filter: Filter) {
        self.filters.retain(|known| known.dimension != filter.dimension);
        self.filters.push(filter);
    }
}

impl Filter {
    fn read(text: &str) -> Option<Self> {
        let (name, values) = text.trim_start_matches('!').split_once(':')?;
        let dimension = dimension(name).filter(|dimension| !dimension.is_time())?;
        let values: Vec<String> =
            values.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect();
        (!values.is_empty()).then(|| Self { dimension, values, is_exclusion: text.starts_with('!') })
    }

    fn write(&self) -> String {
        let mark = if self.is_exclusion { "!" } else { "" };
        format!("{mark}{}:{}", short(self.dimension), self.values.join(","))
    }
}

impl Sort {
    /// Returns the order as an address and the API have it.
    pub fn write(&self) -> String {
        format!("{}{}", if self.descends { "-" } else { "" }, self.by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(dimension: Dimension, values: &[&str], is_exclusion: bool) -> Filter {
        Filter { dimension, values: values.iter().map(|&value| value.to_owned()).collect(), is_exclusion }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let base = Query::default;
        for (text, query) in [
            ("", base()),
            ("?a=adv_001", Query { scope: Some(AdvertiserId::unchecked("adv_001")), ..base() }),
            ("?r=4h", Query { range: Some(Range::Last(240)), ..base() }),
            ("?r=30d", Query { range: Some(Range::Last(43_200)), ..base() }),
            ("?r=2026-11-01..2026-11-08", Query { range: Range::read("2026-11-01..2026-11-08"), ..base() }),
            ("?cmp=prev", Query { compare: Some(Compare::Previous), ..base() }),
            ("?cmp=year", Query { compare: Some(Compare::Year), ..base() }),
            (
                "?by=campaign,country",
                Query { group: vec![Dimension::CampaignId, Dimension::Country], ..base() },
            ),
            (
                "?f=device:mobile,tablet&f=!os:Windows%2010",
                Query {
                    filters: vec![
                        filter(Dimension::DeviceType, &["mobile", "tablet"], false),
                        filter(Dimension::Os, &["Windows 10"], true),
                    ],
                    ..base()
                },
            ),
            ("?s=-billable", Query { sort: Some(Sort { by: "billable".into(), descends: true }), ..base() }),
            ("?s=country", Query { sort: Some(Sort { by: "country".into(), descends: false }), ..base() }),
            ("?m=fraud_count", Query { metric: Some(Metric::FraudCount), ..base() }),
            ("?z=Europe/Berlin", Query { zone: Some("Europe/Berlin".into()), ..base() }),
            ("?g=week", Query { granularity: Some(Granularity::Week), ..base() }),
            ("?v=stack", Query { shape: Shape::Stack, ..base() }),
            ("?l=Windows%2010", Query { line: Some("Windows 10".into()), ..base() }),
            ("?h=billable,change", Query { hidden: vec!["billable", "change"], ..base() }),
            ("?e=off", Query { hides_happened: true, ..base() }),
            ("?t=light", Query { colours: Some(Theme::Light), ..base() }),
            ("?p=resolved", Query { part: Some("resolved".into()), ..base() }),
            ("?q=caf%C3%A9%20%26%20more", Query { search: "café & more".into(), ..base() }),
            (
                "?a=adv_001&r=1h&cmp=prev&by=campaign&m=billable&z=UTC&v=bars",
                Query {
                    scope: Some(AdvertiserId::unchecked("adv_001")),
                    range: Some(Range::Last(60)),
                    compare: Some(Compare::Previous),
                    group: vec![Dimension::CampaignId],
                    metric: Some(Metric::Billable),
                    zone: Some("UTC".into()),
                    shape: Shape::Bars,
                    ..base()
                },
            ),
        ] {
            assert_eq!(Query::read(text), query, "{text}");
            assert_eq!(query.write(), text);
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for text in [
            "?r=yesterday&cmp=week&by=colour&f=colour:red&f=device:&m=money&g=second&v=pie&e=on&x=1&p=&t=pink&l=&h=money",
            "?r=0h&r=99999d&f=weekday:1&s=&a=",
            "?&&=&f",
        ] {
            assert_eq!(Query::read(text), Query::default(), "{text}");
        }
        assert_eq!(Query::read("by=country,country").write(), "?by=country");
        assert_eq!(Query::read("f=country:DE&f=country:FR").write(), "?f=country:FR", "one a dimension");
    }

    #[test]
    fn other_groups_begin_without_what_was_of_the_ones_before() {
        let mut query = Query::read("?r=1h&by=campaign&s=-clicks&h=change&l=c1&q=spring");
        assert_eq!(query.asked().write(), "?r=1h&by=campaign&s=-clicks");
        query.group_by(vec![Dimension::Country]);
        assert_eq!(query.write(), "?r=1h&by=country&h=change");
        query.toggle_column("billable");
        assert_eq!(query.write(), "?r=1h&by=country&h=billable,change");
        query.toggle_column("change");
        assert_eq!(query.write(), "?r=1h&by=country&h=billable");
    }

    #[test]
    fn another_page_goes_on_with_whose_and_when() {
        let query = Query::read("?a=adv_001&r=1h&cmp=prev&by=campaign&f=device:mobile&m=billable&z=UTC&q=x");
        assert_eq!(query.carried().write(), "?a=adv_001&r=1h&cmp=prev&z=UTC");
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_read_is_written_so_that_it_reads_the_same(text in ".{0,80}") {
            let query = Query::read(&text);
            proptest::prop_assert_eq!(Query::read(&query.write()), query);
        }

        #[test]
        fn values_survive(value in "[^,\u{0}]{1,20}") {
            let filters = vec![filter(Dimension::Browser, &[&value], false)];
            let query = Query { filters, search: value, ..Query::default() };
            proptest::prop_assert_eq!(Query::read(&query.write()), query);
        }
    }
}

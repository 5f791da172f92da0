//! Questions as data: for each its path in the API and its SQL for other engines.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The rows of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// A row a bucket and group.
    Buckets(Width),
    /// A row a group.
    Groups,
}

/// The width of a bucket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Minute,
    Hour,
    Day,
}

/// A question about the time before the end of the data.
pub(super) struct Question {
    pub(super) name: &'static str,
    hours: i64,
    rows: Rows,
    group_by: &'static [&'static str],
    /// The groups with the most clicks.
    limit: Option<u32>,
    unique_users: bool,
    /// The period before, which is as long, is asked for too.
    compare: bool,
}

const HOUR: i64 = 3_600;
const DAY: i64 = 24;
const MONTH: i64 = 30 * DAY;
const PLACE: &[&str] = &["country", "device_type"];

const fn of(name: &'static str, hours: i64, rows: Rows, group_by: &'static [&'static str]) -> Question {
    Question { name, hours, rows, group_by, limit: None, unique_users: false, compare: false }
}

pub(super) const QUESTIONS: [Question; 15] = {
    use Rows::{Buckets, Groups};
    use Width::{Day, Hour, Minute};
    [
        of("last hour by minute", 1, Buckets(Minute), &[]),
        of("24 h by hour", DAY, Buckets(Hour), &[]),
        of("24 h by minute", DAY, Buckets(Minute), &[]),
        of("30 d by day", MONTH, Buckets(Day), &[]),
        of("24 h by hour, country, device", DAY, Buckets(Hour), PLACE),
        of("30 d by day, country, device", MONTH, Buckets(Day), PLACE),
        of("30 d by hour, country, device", MONTH, Buckets(Hour), PLACE),
        of("24 h by hour, campaign", DAY, Buckets(Hour), &["campaign_id"]),
        of("30 d by day, campaign", MONTH, Buckets(Day), &["campaign_id"]),
        of("30 d by country, device", MONTH, Groups, PLACE),
        Question { limit: Some(10), ..of("24 h, top 10 ads", DAY, Groups, &["ad_id"]) },
        Question { limit: Some(10), ..of("30 d, top 10 ads", MONTH, Groups, &["ad_id"]) },
        Question { compare: true, ..of("24 h by hour and the day before", DAY, Buckets(Hour), &[]) },
        Question { unique_users: true, ..of("24 h by hour, unique users", DAY, Buckets(Hour), &[]) },
        Question { unique_users: true, ..of("30 d by day, unique users", MONTH, Buckets(Day), &[]) },
    ]
};

impl Width {
    fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => HOUR,
            Self::Day => DAY * HOUR,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl Question {
    fn start(&self, end: i64) -> i64 {
        end - self.hours * HOUR
    }

    /// The path that asks it of the server, about the time before `end` in Unix seconds.
    pub(super) fn path(&self, advertiser: Option<&str>, end: i64) -> String {
        let (operation, mut parameters) = match self.rows {
            Rows::Buckets(width) => ("timeseries", format!("granularity={}", width.name())),
            Rows::Groups => ("breakdown", String::new()),
        };
        let mut add = |name: &str, value: &str| {
            parameters += &format!("{}{name}={value}", if parameters.is_empty() { "" } else { "&" });
        };
        add("start_time", &instant(self.start(end)));
        add("end_time", &instant(end));
        if let Some(advertiser) = advertiser {
            add("advertiser_id", advertiser);
        }
        if !self.group_by.is_empty() {
            add("group_by", &self.group_by.join(","));
        }
        if let Some(limit) = self.limit {
            add("limit", &limit.to_string());
        }
        if self.compare {
            add("compare", "previous");
        }
        if self.unique_users {
            add("unique_users", "true");
        }
        format!("/api/v1/analytics/{operation}?{parameters}")
    }

    /// SQL for engines that keep a bucket as Unix seconds, about minutes or about roll-ups of the same grains as
    /// ours; `None` for what they have no data for.
    pub(super) fn sql(&self, from_minutes: bool, advertiser: Option<&str>, end: i64) -> Option<String> {
        if self.unique_users {
            return None;
        }
        let table = if from_minutes { "minutes".to_owned() } else { self.roll_up() };
        let start = self.start(end) - if self.compare { self.hours * HOUR } else { 0 };
        let mut keys = Vec::new();
        if let Rows::Buckets(width) = self.rows {
            keys.push(format!("bucket - bucket % {} AS start", width.seconds()));
        }
        keys.extend(self.group_by.iter().map(|column| (*column).to_owned()));
        let names: Vec<&str> = matches!(self.rows, Rows::Buckets(_))
            .then_some("start")
            .into_iter()
            .chain(self.group_by.iter().copied())
            .collect();
        let mut sql = format!(
            "SELECT {}, sum(valid) AS clicks, sum(duplicate), sum(givt), sum(sivt), sum(test), sum(defective) \
             FROM {table} WHERE bucket >= {} AND bucket < {end}",
            keys.join(", "),
            self.first_bucket(start),
        );
        if let Some(advertiser) = advertiser {
            sql += &format!(" AND advertiser_id = '{advertiser}'");
        }
        sql += &format!(" GROUP BY {0}", names.join(", "));
        sql += &match self.limit {
            Some(limit) => format!(" ORDER BY clicks DESC LIMIT {limit}"),
            None => format!(" ORDER BY {}", names.join(", ")),
        };
        Some(sql)
    }

    /// Buckets are whole ones, as in the API.
    fn first_bucket(&self, start: i64) -> i64 {
        match self.rows {
            Rows::Buckets(width) => start - start.rem_euclid(width.seconds()),
            Rows::Groups => start,
        }
    }

    /// The coarsest table that answers it.
    fn roll_up(&self) -> String {
        let grain = match self.group_by {
            [] | ["campaign_id"] => "_by_campaign",
            [first, ..] if *first == "country" => "_by_place",
            _ => "",
        };
        match self.rows {
            Rows::Buckets(Width::Minute) => "minutes".to_owned(),
            Rows::Buckets(Width::Hour) => format!("hours{grain}"),
            Rows::Buckets(Width::Day) => format!("days{grain}"),
            // A range that begins within a day.
            Rows::Groups => format!("hours{grain}"),
        }
    }
}

/// Unix seconds as the API and the database read them.
pub(in crate::bench) fn instant(seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 1_795_867_200;

    #[test]
    fn a_question_is_a_path_and_a_statement() {
        assert_eq!(instant(END), "2026-11-28T12:00:00Z");
        let question = &QUESTIONS[4];
        assert_eq!(
            question.path(Some("adv_001"), END),
            "/api/v1/analytics/timeseries?granularity=hour&start_time=2026-11-27T12:00:00Z\
             &end_time=2026-11-28T12:00:00Z&advertiser_id=adv_001&group_by=country,device_type"
        );
        let sql = question.sql(false, None, END).unwrap();
        assert!(
            sql.contains("FROM hours_by_place WHERE") && sql.contains("GROUP BY start, country"),
            "{sql}"
        );
        let top = QUESTIONS.iter().find(|question| question.limit.is_some()).unwrap();
        assert!(top.path(None, END).starts_with("/api/v1/analytics/breakdown?start"));
        assert!(top.sql(false, None, END).unwrap().contains("FROM hours WHERE"));
    }
}

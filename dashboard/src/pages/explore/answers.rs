//! Reports as they are answered, read by hand: derived code for their flat rows takes 50 KB of the page's first load,
//! and this takes five. A test checks that both read the same.

use std::ops::Deref;

use clickwire_protocol::report::{
    Basis, Breakdown, BreakdownRow, Comparison, Granularity, Group, Numbers, Source, Timeseries,
    TimeseriesComparison, TimeseriesRow,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

/// Numbers by group.
#[derive(Debug, PartialEq)]
pub(crate) struct Listed(pub(crate) Breakdown);

/// Numbers over time.
#[derive(Debug, PartialEq)]
pub(crate) struct Drawn(pub(crate) Timeseries);

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        breakdown(&value).map(Self).ok_or_else(|| D::Error::custom("no breakdown"))
    }
}

impl Deref for Listed {
    type Target = Breakdown;

    fn deref(&self) -> &Breakdown {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Drawn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        timeseries(&value).map(Self).ok_or_else(|| D::Error::custom("no time series"))
    }
}

fn breakdown(value: &Value) -> Option<Breakdown> {
    let comparison = |value: &Value| {
        let (start_time, end_time) = (text(value, "start_time")?, text(value, "end_time")?);
        Some(Comparison { start_time, end_time, totals: numbers(value.get("totals")?)? })
    };
    Some(Breakdown {
        rows: all(value, "rows", |row| {
            let previous = row.get("previous").and_then(numbers);
            Some(BreakdownRow { group: group(row), numbers: numbers(row)?, previous })
        })?,
        groups: usize::try_from(value.get("groups")?.as_u64()?).ok()?,
        totals: numbers(value.get("totals")?)?,
        comparison: value.get("comparison").and_then(comparison),
        basis: basis(value)?,
    })
}

fn timeseries(value: &Value) -> Option<Timeseries> {
    let row = |row: &Value| {
        Some(TimeseriesRow {
            time_bucket: text(row, "time_bucket")?,
            partial: is(row, "partial"),
            group: group(row),
            numbers: numbers(row)?,
        })
    };
    let comparison = |value: &Value| {
        let (start_time, end_time) = (text(value, "start_time")?, text(value, "end_time")?);
        let (rows, totals) = (all(value, "rows", row)?, numbers(value.get("totals")?)?);
        Some(TimeseriesComparison { start_time, end_time, rows, totals })
    };
    let granularity = value.get("granularity")?.as_str()?;
    Some(Timeseries {
        granularity: Granularity::ALL.into_iter().find(|known| known.as_str() == granularity)?,
        rows: all(value, "rows", row)?,
        totals: numbers(value.get("totals")?)?,
        comparison: value.get("comparison").and_then(comparison),
        basis: basis(value)?,
    })
}

fn basis(value: &Value) -> Option<Basis> {
    let sources = [
        ("days", Source::Days),
        ("hours", Source::Hours),
        ("minutes", Source::Minutes),
        ("ledger", Source::Ledger),
    ];
    Some(Basis {
        start_time: text(value, "start_time")?,
        end_time: text(value, "end_time")?,
        time_zone: text(value, "time_zone")?,
        sources: all(value, "sources", |name| {
            sources.iter().find(|(known, _)| name.as_str() == Some(known)).map(|(_, source)| *source)
        })?,
        stored_before: text(value, "stored_before"),
        final_before: text(value, "final_before"),
        as_of: text(value, "as_of"),
        query_time_ms: value.get("query_time_ms")?.as_f64()?,
    })
}

fn numbers(value: &Value) -> Option<Numbers> {
    let number = |name: &str| value.get(name)?.as_i64();
    Some(Numbers {
        clicks: number("clicks")?,
        billable: number("billable")?,
        fraud_count: number("fraud_count")?,
        duplicates: number("duplicates")?,
        received: number("received")?,
        unique_users: number("unique_users"),
    })
}

fn group(value: &Value) -> Group {
    let part = |name: &str| value.get(name)?.as_i64().and_then(|part| i32::try_from(part).ok());
    Group {
        advertiser_id: text(value, "advertiser_id"),
        campaign_id: text(value, "campaign_id"),
        ad_id: text(value, "ad_id"),
        country: text(value, "country"),
        device_type: text(value, "device_type"),
        os: text(value, "os"),
        browser: text(value, "browser"),
        hour_of_day: part("hour_of_day"),
        weekday: part("weekday"),
        other: is(value, "other"),
    }
}

/// Returns a text in an object.
pub(super) fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn is(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or_default()
}

fn all<T>(value: &Value, name: &str, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.get(name)?.as_array()?.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::series::tests::report, *};

    #[test]
    fn reports_are_read_as_the_protocol_reads_them() {
        let mut series = report();
        series.rows[0].partial = true;
        series.rows[1].group = Group { weekday: Some(7), hour_of_day: Some(0), ..Group::default() };
        series.basis.sources = vec![Source::Days, Source::Hours, Source::Minutes, Source::Ledger];
        let text = serde_json::to_string(&series).unwrap();
        assert_eq!(serde_json::from_str::<Timeseries>(&text).unwrap(), series, "the protocol's own way");
        assert_eq!(serde_json::from_str::<Drawn>(&text).unwrap().0, series);

        let numbers = Numbers {
            clicks: 5,
            billable: 4,
            fraud_count: 1,
            duplicates: 2,
            received: 7,
            unique_users: Some(3),
        };
        let group = Group {
            advertiser_id: Some("v".into()),
            campaign_id: Some("c".into()),
            ad_id: Some("a".into()),
            country: Some("DE".into()),
            device_type: Some("mobile".into()),
            os: Some("x".into()),
            browser: Some("y".into()),
            ..Group::default()
        };
        let others = BreakdownRow { group: Group::others(), ..BreakdownRow::default() };
        let table = Breakdown {
            rows: vec![BreakdownRow { group, numbers, previous: Some(numbers) }, others],
            groups: 9,
            totals: numbers,
            comparison: Some(Comparison { start_time: "s".into(), end_time: "e".into(), totals: numbers }),
            basis: Basis {
                stored_before: Some("b".into()),
                as_of: Some("t".into()),
                query_time_ms: 1.5,
                ..series.basis
            },
        };
        let text = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<Listed>(&text).unwrap().0, table);
        assert!(
            serde_json::from_str::<Listed>("{}").is_err() && serde_json::from_str::<Drawn>("[]").is_err()
        );
    }
}

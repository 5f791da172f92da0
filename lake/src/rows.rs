//! Clicks as rows of the table, there and back.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use bytes::Bytes;
use clickwire_protocol::{
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use iceberg::{arrow::schema_to_arrow_schema, spec::Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use uuid::Uuid;

use crate::error::Unavailable;

const DAY_MS: i64 = 86_400_000;

/// Rows that are read at once.
const ROWS: usize = 8_192;

/// A click as it was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) click: Click,
    /// The time that it is counted under, in microseconds.
    pub(crate) clicked_at_us: i64,
    pub(crate) disposition: String,
    pub(crate) rule: Option<String>,
    pub(crate) rule_version: Option<i32>,
    pub(crate) stream_created_us: i64,
    pub(crate) stream_seq: i64,
}

impl Row {
    /// The day of receipt, counted from 1970.
    pub(crate) fn day(&self) -> i32 {
        i32::try_from(self.click.received_at_ms.0.div_euclid(DAY_MS)).unwrap_or_default()
    }
}

/// Rows in the table's order, as Parquet takes them.
pub(crate) fn batch(schema: &Schema, mut rows: Vec<&Row>) -> Result<RecordBatch, Unavailable> {
    rows.sort_by(|one, other| {
        let order = |row: &Row| (row.clicked_at_us, row.click.click_id);
        let advertisers = one.click.advertiser_id.as_str().cmp(other.click.advertiser_id.as_str());
        advertisers.then_with(|| order(one).cmp(&order(other)))
    });
    let text = |of: fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(row)).collect::<StringArray>())
    };
    let mark = |of: fn(&Click) -> bool| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(&row.click))).collect::<BooleanArray>())
    };
    let time = |of: fn(&Row) -> i64| -> ArrayRef {
        let times = rows.iter().map(|row| of(row)).collect::<Vec<_>>();
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("+00:00"))
    };
    let number = |of: fn(&Row) -> i64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(row)).collect::<Vec<_>>().into_iter().collect::<Int64Array>())
    };
    let columns = vec![
        text(|row| Some(row.click.click_id.to_string())),
        text(|row| Some(row.click.advertiser_id.as_str().to_owned())),
        text(|row| Some(row.click.dimensions.campaign_id.as_str().to_owned())),
        text(|row| Some(row.click.dimensions.ad_id.as_str().to_owned())),
        text(|row| Some(row.click.dimensions.country.clone())),
        text(|row| Some(row.click.dimensions.device_type.as_str().to_owned())),
        time(|row| row.clicked_at_us),
        number(|row| row.click.clicked_at_ms.0),
        time(|row| row.click.received_at_ms.0.saturating_mul(1_000)),
        text(|row| row.click.user_id.clone()),
        text(|row| row.click.ip_hash.clone()),
        text(|row| Some(row.click.user_agent.clone()).filter(|agent| !agent.is_empty())),
        mark(|click| click.own_agent),
        text(|row| row.click.os.clone()),
        text(|row| row.click.browser.clone()),
        mark(|click| click.data_center),
        mark(|click| click.test),
        mark(|click| click.bound),
        mark(|click| click.prefetch),
        text(|row| named(serde_json::to_value(row.click.id_fault).ok()?)),
        text(|row| (!row.click.params.is_empty()).then(|| serde_json::to_string(&row.click.params).ok())?),
        text(|row| row.click.referrer.clone()),
        text(|row| Some(row.disposition.clone())),
        text(|row| row.rule.clone()),
        Arc::new(rows.iter().map(|row| row.rule_version).collect::<Int32Array>()),
        time(|row| row.stream_created_us),
        number(|row| row.stream_seq),
    ];
    let schema = Arc::new(schema_to_arrow_schema(schema)?);
    RecordBatch::try_new(schema, columns).map_err(|error| Unavailable::Rows(error.to_string()))
}

/// The text that a value is, if it is one.
fn named(value: Value) -> Option<String> {
    match value {
        Value::String(name) => Some(name),
        _ => None,
    }
}

/// The rows of a data file, some at a time.
pub(crate) fn batches(
    content: Bytes,
) -> Result<impl Iterator<Item = Result<RecordBatch, Unavailable>>, Unavailable> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(content).map_err(|error| wrong(&error))?;
    let reader = reader.with_batch_size(ROWS).build().map_err(|error| wrong(&error))?;
    Ok(reader.map(|batch| batch.map_err(|error| wrong(&error))))
}

/// The rows of a batch.
pub(crate) fn rows(batch: &RecordBatch) -> Result<Vec<Row>, Unavailable> {
    let columns = Columns { batch };
    (0..batch.num_rows()).map(|at| columns.row(at).map_err(|error| wrong(&error))).collect()
}

fn wrong(error: &dyn std::fmt::Display) -> Unavailable {
    Unavailable::Rows(error.to_string())
}

struct Columns<'a> {
    batch: &'a RecordBatch,
}

impl Columns<'_> {
    fn column<T: Array + 'static>(&self, name: &str) -> anyhow::Result<&T> {
        let column = self.batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
        column.ok_or_else(|| anyhow::anyhow!("no column {name} of the right type"))
    }

    fn optional(&self, name: &str, at: usize) -> anyhow::Result<Option<String>> {
        let column: &StringArray = self.column(name)?;
        Ok(column.is_valid(at).then(|| column.value(at).to_owned()))
    }

    fn text(&self, name: &str, at: usize) -> anyhow::Result<String> {
        self.optional(name, at).map(Option::unwrap_or_default)
    }

    fn mark(&self, name: &str, at: usize) -> anyhow::Result<bool> {
        Ok(self.column::<BooleanArray>(name)?.value(at))
    }

    fn time(&self, name: &str, at: usize) -> anyhow::Result<i64> {
        Ok(self.column::<TimestampMicrosecondArray>(name)?.value(at))
    }

    fn number(&self, name: &str, at: usize) -> anyhow::Result<i64> {
        Ok(self.column::<Int64Array>(name)?.value(at))
    }

    fn row(&self, at: usize) -> anyhow::Result<Row> {
        let versions: &Int32Array = self.column("rule_version")?;
        Ok(Row {
            click: self.click(at)?,
            clicked_at_us: self.time("clicked_at", at)?,
            disposition: self.text("disposition", at)?,
            rule: self.optional("rule", at)?,
            rule_version: versions.is_valid(at).then(|| versions.value(at)),
            stream_created_us: self.time("stream_created_at", at)?,
            stream_seq: self.number("stream_seq", at)?,
        })
    }

    fn click(&self, at: usize) -> anyhow::Result<Click> {
        let device_type = self.text("device_type", at)?;
        let fault = self.optional("id_fault", at)?.map(Value::String).unwrap_or_default();
        let params = self.optional("params", at)?;
        Ok(Click {
            advertiser_id: AdvertiserId::unchecked(self.text("advertiser_id", at)?),
            dimensions: Dimensions {
                campaign_id: CampaignId::unchecked(self.text("campaign_id", at)?),
                ad_id: AdId::unchecked(self.text("ad_id", at)?),
                country: self.text("country", at)?,
                device_type: DeviceType::find(&device_type).unwrap_or(DeviceType::Other),
            },
            user_id: self.optional("user_id", at)?,
            clicked_at_ms: UnixMs(self.number("claimed_at_ms", at)?),
            received_at_ms: UnixMs(self.time("received_at", at)?.div_euclid(1_000)),
            user_agent: self.text("user_agent", at)?,
            own_agent: self.mark("own_agent", at)?,
            os: self.optional("os", at)?,
            browser: self.optional("browser", at)?,
            ip_hash: self.optional("ip_hash", at)?,
            data_center: self.mark("data_center", at)?,
            test: self.mark("test", at)?,
            bound: self.mark("bound", at)?,
            prefetch: self.mark("prefetch", at)?,
            id_fault: serde_json::from_value(fault)?,
            params: params.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default(),
            referrer: self.optional("referrer", at)?,
            ..Click::bare(Uuid::parse_str(&self.text("click_id", at)?)?)
        })
    }
}

//! Clicks as rows of the table, there and back.

use arrow_array::RecordBatch;
use clickwire_protocol::{
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use iceberg::spec::Schema;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    columns::{self, Columns, Values},
    error::Unavailable,
};

const DAY_MS: i64 = 86_400_000;

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
    Columns::of(&rows)
        .text(|row| row.click.click_id.to_string())
        .text(|row| row.click.advertiser_id.as_str().to_owned())
        .text(|row| row.click.dimensions.campaign_id.as_str().to_owned())
        .text(|row| row.click.dimensions.ad_id.as_str().to_owned())
        .text(|row| row.click.dimensions.country.clone())
        .text(|row| row.click.dimensions.device_type.as_str().to_owned())
        .time(|row| row.clicked_at_us)
        .number(|row| row.click.clicked_at_ms.0)
        .time(|row| row.click.received_at_ms.0.saturating_mul(1_000))
        .optional(|row| row.click.user_id.clone())
        .optional(|row| row.click.ip_hash.clone())
        .optional(|row| Some(row.click.user_agent.clone()).filter(|agent| !agent.is_empty()))
        .mark(|row| row.click.own_agent)
        .optional(|row| row.click.os.clone())
        .optional(|row| row.click.browser.clone())
        .mark(|row| row.click.data_center)
        .mark(|row| row.click.test)
        .mark(|row| row.click.bound)
        .mark(|row| row.click.prefetch)
        .optional(|row| named(serde_json::to_value(row.click.id_fault).ok()?))
        .optional(|row| {
            (!row.click.params.is_empty()).then(|| serde_json::to_string(&row.click.params).ok())?
        })
        .optional(|row| row.click.referrer.clone())
        .text(|row| row.disposition.clone())
        .optional(|row| row.rule.clone())
        .version(|row| row.rule_version)
        .time(|row| row.stream_created_us)
        .number(|row| row.stream_seq)
        .batch(schema)
}

/// The text that a value is, if it is one.
fn named(value: Value) -> Option<String> {
    match value {
        Value::String(name) => Some(name),
        _ => None,
    }
}

/// The rows of a batch.
pub(crate) fn rows(batch: &RecordBatch) -> Result<Vec<Row>, Unavailable> {
    columns::rows(batch, row)
}

fn row(values: &Values<'_>, at: usize) -> anyhow::Result<Row> {
    Ok(Row {
        click: click(values, at)?,
        clicked_at_us: values.time("clicked_at", at)?,
        disposition: values.text("disposition", at)?,
        rule: values.optional("rule", at)?,
        rule_version: values.version("rule_version", at)?,
        stream_created_us: values.time("stream_created_at", at)?,
        stream_seq: values.number("stream_seq", at)?,
    })
}

fn click(values: &Values<'_>, at: usize) -> anyhow::Result<Click> {
    let device_type = values.text("device_type", at)?;
    let fault = values.optional("id_fault", at)?.map(Value::String).unwrap_or_default();
    let params = values.optional("params", at)?;
    Ok(Click {
        advertiser_id: AdvertiserId::unchecked(values.text("advertiser_id", at)?),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked(values.text("campaign_id", at)?),
            ad_id: AdId::unchecked(values.text("ad_id", at)?),
            country: values.text("country", at)?,
            device_type: DeviceType::find(&device_type).unwrap_or(DeviceType::Other),
        },
        user_id: values.optional("user_id", at)?,
        clicked_at_ms: UnixMs(values.number("claimed_at_ms", at)?),
        received_at_ms: UnixMs(values.time("received_at", at)?.div_euclid(1_000)),
        user_agent: values.text("user_agent", at)?,
        own_agent: values.mark("own_agent", at)?,
        os: values.optional("os", at)?,
        browser: values.optional("browser", at)?,
        ip_hash: values.optional("ip_hash", at)?,
        data_center: values.mark("data_center", at)?,
        test: values.mark("test", at)?,
        bound: values.mark("bound", at)?,
        prefetch: values.mark("prefetch", at)?,
        id_fault: serde_json::from_value(fault)?,
        params: params.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default(),
        referrer: values.optional("referrer", at)?,
        ..Click::bare(Uuid::parse_str(&values.text("click_id", at)?)?)
    })
}

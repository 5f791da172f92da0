//! The tables' columns, partitions and order.

use std::{collections::HashMap, sync::Arc};

use iceberg::spec::{
    NestedField, NullOrder, PrimitiveType, Schema, SortDirection, SortField, SortOrder, TableMetadata,
    TableMetadataBuilder, Transform, Type, UnboundPartitionSpec,
};

/// The name of the catalog and of the one namespace in it.
pub(crate) const CATALOG: &str = "clickwire";
/// The tables' namespace.
pub(crate) const NAMESPACE: &str = "clickwire";
/// The table of clicks.
pub(crate) const CLICKS: &str = "clicks";

/// The columns that rows of a file are sorted by.
pub(crate) const ORDER: [&str; 3] = ["advertiser_id", "clicked_at", "click_id"];

const NEEDED: bool = true;

/// The columns of the table of clicks, in the order of their ids, which begin with 1.
const COLUMNS: [(&str, PrimitiveType, bool); 27] = [
    ("click_id", PrimitiveType::String, NEEDED),
    ("advertiser_id", PrimitiveType::String, NEEDED),
    ("campaign_id", PrimitiveType::String, NEEDED),
    ("ad_id", PrimitiveType::String, NEEDED),
    ("country", PrimitiveType::String, NEEDED),
    ("device_type", PrimitiveType::String, NEEDED),
    // The time that the click is counted under.
    ("clicked_at", PrimitiveType::Timestamptz, NEEDED),
    // What the client said; any number.
    ("claimed_at_ms", PrimitiveType::Long, NEEDED),
    ("received_at", PrimitiveType::Timestamptz, NEEDED),
    ("user_id", PrimitiveType::String, !NEEDED),
    ("ip_hash", PrimitiveType::String, !NEEDED),
    ("user_agent", PrimitiveType::String, !NEEDED),
    ("own_agent", PrimitiveType::Boolean, NEEDED),
    ("os", PrimitiveType::String, !NEEDED),
    ("browser", PrimitiveType::String, !NEEDED),
    ("data_center", PrimitiveType::Boolean, NEEDED),
    ("test", PrimitiveType::Boolean, NEEDED),
    ("bound", PrimitiveType::Boolean, NEEDED),
    ("prefetch", PrimitiveType::Boolean, NEEDED),
    ("id_fault", PrimitiveType::String, !NEEDED),
    // A JSON object.
    ("params", PrimitiveType::String, !NEEDED),
    ("referrer", PrimitiveType::String, !NEEDED),
    // The verdict when the click was archived; later ones are adjustments.
    ("disposition", PrimitiveType::String, NEEDED),
    ("rule", PrimitiveType::String, !NEEDED),
    ("rule_version", PrimitiveType::Int, !NEEDED),
    // The message that brought it.
    ("stream_created_at", PrimitiveType::Timestamptz, NEEDED),
    ("stream_seq", PrimitiveType::Long, NEEDED),
];

/// Ids of the columns that partition and order are about.
const ADVERTISER_ID: i32 = 2;
const CLICKED_AT: i32 = 7;
const RECEIVED_AT: i32 = 9;

/// Metadata files that stay named in the newest one; older ones are removed after a while.
const METADATA_FILES: &str = "20";

/// The table of clicks before its first row.
pub(crate) fn new_clicks(location: String) -> Result<TableMetadata, iceberg::Error> {
    let fields = COLUMNS.into_iter().zip(1..).map(|((name, kind, is_needed), id)| {
        let kind = Type::Primitive(kind);
        Arc::new(match is_needed {
            true => NestedField::required(id, name, kind),
            false => NestedField::optional(id, name, kind),
        })
    });
    let schema = Schema::builder().with_fields(fields).build()?;
    let partitions = UnboundPartitionSpec::builder()
        .add_partition_field(RECEIVED_AT, "received_day", Transform::Day)?
        .build();
    let ascending = |source_id| {
        SortField::builder()
            .source_id(source_id)
            .transform(Transform::Identity)
            .direction(SortDirection::Ascending)
            .null_order(NullOrder::First)
            .build()
    };
    let order = SortOrder::builder()
        .with_fields(vec![ascending(ADVERTISER_ID), ascending(CLICKED_AT)])
        .build_unbound()?;
    let properties = [
        ("write.metadata.previous-versions-max", METADATA_FILES),
        ("write.parquet.compression-codec", "zstd"),
    ];
    let properties: HashMap<String, String> =
        properties.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let format = iceberg::spec::FormatVersion::V2;
    let built =
        TableMetadataBuilder::new(schema, partitions, order, location, format, properties)?.build()?;
    Ok(built.metadata)
}

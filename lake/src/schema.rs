//! The tables: their columns, partitions and order.

use std::{collections::HashMap, sync::Arc};

use iceberg::spec::{
    FormatVersion, NestedField, NullOrder, PrimitiveType, Schema, SortDirection, SortField, SortOrder,
    TableMetadata, TableMetadataBuilder, Transform, Type, UnboundPartitionSpec,
};

/// The name of the catalog and of the one namespace in it.
pub(crate) const CATALOG: &str = "clickwire";
/// The tables' namespace.
pub(crate) const NAMESPACE: &str = "clickwire";

const NEEDED: bool = true;

/// A column: its name, its type, and whether each row has a value.
type Column = (&'static str, PrimitiveType, bool);

/// A table before its first row.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The table's name within the namespace.
    pub(crate) name: &'static str,
    /// The columns, in the order of their ids, which begin with 1.
    columns: &'static [Column],
    /// The column by whose day rows are kept apart, and the name of the partition that it makes.
    partition: (&'static str, &'static str),
    /// The columns that rows of a file are sorted by.
    pub(crate) order: &'static [&'static str],
}

/// Clicks, each as it was counted.
pub(crate) static CLICKS: Definition = Definition {
    name: "clicks",
    columns: &[
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
    ],
    partition: ("received_at", "received_day"),
    order: &["advertiser_id", "clicked_at", "click_id"],
};

/// Verdicts that changed after they were counted, as the ledger has recorded them.
pub(crate) static ADJUSTMENTS: Definition = Definition {
    name: "adjustments",
    columns: &[
        // Grows in the order in which the ledger has changed.
        ("adjustment_id", PrimitiveType::Long, NEEDED),
        ("adjusted_at", PrimitiveType::Timestamptz, NEEDED),
        ("click_id", PrimitiveType::String, NEEDED),
        ("clicked_at", PrimitiveType::Timestamptz, NEEDED),
        ("advertiser_id", PrimitiveType::String, NEEDED),
        ("from_disposition", PrimitiveType::String, NEEDED),
        ("to_disposition", PrimitiveType::String, NEEDED),
        ("rule", PrimitiveType::String, !NEEDED),
        ("rule_version", PrimitiveType::Int, !NEEDED),
        ("actor", PrimitiveType::String, NEEDED),
        ("reason", PrimitiveType::String, NEEDED),
    ],
    partition: ("adjusted_at", "adjusted_day"),
    order: &["advertiser_id", "clicked_at", "adjustment_id"],
};

/// Clicks of whole days, by the day that they are counted under, in UTC.
pub(crate) static DAILY_COUNTS: Definition = Definition {
    name: "daily_counts",
    columns: &[
        ("day", PrimitiveType::Date, NEEDED),
        ("advertiser_id", PrimitiveType::String, NEEDED),
        ("campaign_id", PrimitiveType::String, NEEDED),
        ("ad_id", PrimitiveType::String, NEEDED),
        ("country", PrimitiveType::String, NEEDED),
        ("device_type", PrimitiveType::String, NEEDED),
        // One for each disposition, in the order of `Disposition::ALL`.
        ("valid", PrimitiveType::Long, NEEDED),
        ("duplicate", PrimitiveType::Long, NEEDED),
        ("givt", PrimitiveType::Long, NEEDED),
        ("sivt", PrimitiveType::Long, NEEDED),
        ("test", PrimitiveType::Long, NEEDED),
        ("defective", PrimitiveType::Long, NEEDED),
    ],
    partition: ("day", "counted_day"),
    order: &["advertiser_id", "campaign_id", "ad_id", "country", "device_type"],
};

/// Metadata files that stay named in the newest one; older ones are removed after a while.
const METADATA_FILES: &str = "20";

impl Definition {
    /// The name of the partition, which is a day.
    pub(crate) fn partition(&self) -> &'static str {
        self.partition.1
    }

    /// The folder of the table's files, without the lake's URL.
    pub(crate) fn folder(&self) -> String {
        format!("{NAMESPACE}/{}", self.name)
    }

    fn id(&self, column: &str) -> i32 {
        let at = self.columns.iter().position(|(name, ..)| *name == column);
        at.and_then(|at| i32::try_from(at + 1).ok()).unwrap_or_default()
    }

    /// The table before its first row, with its files at `location`.
    pub(crate) fn metadata(&self, location: String) -> Result<TableMetadata, iceberg::Error> {
        let fields = self.columns.iter().map(|(name, kind, is_needed)| {
            let kind = Type::Primitive(kind.clone());
            Arc::new(match is_needed {
                true => NestedField::required(self.id(name), *name, kind),
                false => NestedField::optional(self.id(name), *name, kind),
            })
        });
        let schema = Schema::builder().with_fields(fields).build()?;
        let (column, name) = self.partition;
        let partitions = UnboundPartitionSpec::builder()
            .add_partition_field(self.id(column), name, Transform::Day)?
            .build();
        let ascending = |name: &&str| {
            SortField::builder()
                .source_id(self.id(name))
                .transform(Transform::Identity)
                .direction(SortDirection::Ascending)
                .null_order(NullOrder::First)
                .build()
        };
        let order = SortOrder::builder()
            .with_fields(self.order.iter().map(ascending).collect::<Vec<_>>())
            .build_unbound()?;
        let properties = [
            ("write.metadata.previous-versions-max", METADATA_FILES),
            ("write.parquet.compression-codec", "zstd"),
        ];
        let properties: HashMap<String, String> =
            properties.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let builder =
            TableMetadataBuilder::new(schema, partitions, order, location, FormatVersion::V2, properties)?;
        Ok(builder.build()?.metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_can_be_made_and_sorts_and_divides_by_its_own_columns() {
        for table in [&CLICKS, &ADJUSTMENTS, &DAILY_COUNTS] {
            let metadata = table.metadata("file:///nowhere".to_owned()).unwrap();
            assert_eq!(metadata.current_schema().as_struct().fields().len(), table.columns.len());
            let named = table.order.iter().chain([&table.partition.0]);
            assert!(named.into_iter().all(|name| table.id(name) > 0), "{table:?}");
        }
    }
}

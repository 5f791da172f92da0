//! The lake's tables, as a session has them.

use crate::{
    catalog::Catalog,
    error::Unavailable,
    objects::Objects,
    schema::{ADJUSTMENTS, CLICKS, DAILY_COUNTS},
    table::Table,
};

/// All tables.
pub(crate) struct Tables {
    pub(crate) clicks: Table,
    pub(crate) adjustments: Table,
    pub(crate) daily_counts: Table,
}

impl Tables {
    /// The tables, each made if it is missing.
    pub(crate) async fn open(catalog: &Catalog, objects: &Objects) -> Result<Self, Unavailable> {
        Ok(Self {
            clicks: Table::open(catalog, objects, &CLICKS).await?,
            adjustments: Table::open(catalog, objects, &ADJUSTMENTS).await?,
            daily_counts: Table::open(catalog, objects, &DAILY_COUNTS).await?,
        })
    }
}

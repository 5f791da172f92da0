//! The six columns of counts, written out once: one for each disposition, alike in `click_minutes`, `hour_counts`,
//! `day_counts` and the views of hours and days.
//!
//! Statements are put together from these texts, none of which comes from outside, so they are safe to run.

use clickwire_protocol::counts::{Counts, Disposition};
use sqlx::{FromRow, Row as _, postgres::PgRow};

/// The columns, in the order of [`Disposition::ALL`].
pub const COLUMNS: &str = "valid, duplicate, givt, sivt, test, defective";

/// The columns, each added up under its own name.
pub const SUMS: &str = "sum(valid)::bigint AS valid, sum(duplicate)::bigint AS duplicate, sum(givt)::bigint AS givt, \
                        sum(sivt)::bigint AS sivt, sum(test)::bigint AS test, sum(defective)::bigint AS defective";

/// All clicks of a row: [`Counts::received`].
pub const RECEIVED: &str = "valid + duplicate + givt + sivt + test + defective";

/// Makes a text of each column, separated by commas: `each(|column| format!("{column} = 0"))`.
pub fn each(of_column: impl FnMut(&'static str) -> String) -> String {
    Disposition::ALL.map(Disposition::as_str).map(of_column).join(", ")
}

/// The counts of a row that has these columns; to be flattened into structs of rows.
#[derive(Clone, Copy, Debug)]
pub struct CountsRow(pub Counts);

impl FromRow<'_, PgRow> for CountsRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut counts = Counts::default();
        for disposition in Disposition::ALL {
            *counts.get_mut(disposition) = row.try_get(disposition.as_str())?;
        }
        Ok(Self(counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_name_every_disposition() {
        assert_eq!(COLUMNS, each(str::to_owned));
        assert_eq!(SUMS, each(|column| format!("sum({column})::bigint AS {column}")));
        assert_eq!(RECEIVED, Disposition::ALL.map(Disposition::as_str).join(" + "));
    }
}

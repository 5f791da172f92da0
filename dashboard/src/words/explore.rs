//! Texts of Explore's chart and table beside those of reports.

use crate::format;

// The chart.
texts! {
    ALONE = "Show this line alone";
    ALL_LINES = "Show all lines";
    AS_TABLE = "As a table";
    CHART_AS_TABLE = "The chart as a table";
    CHART_KEYS = "Shift and the arrow keys select a part, Enter zooms to it, Escape cancels. The browser’s Back button undoes the zoom.";
    PRINT_OR_PDF = "Print or PDF";
}

// The table.
texts! {
    COLUMNS = "Columns";
    SEARCH_ROWS = "Search in the rows";
    NO_ROWS_FOUND = "No row has this in its name.";
    SHOW_ALL_ROWS = "Show all rows";
}

/// The part of a chart that is selected.
pub fn selected(range: &str) -> String {
    say!("Selected: {range}. Enter zooms to it.", range)
}

/// Number of rows in which a text is found.
pub fn found(found: usize, all: usize) -> String {
    say!("{found} of {all} rows found", found = format::count(found as i64), all = format::count(all as i64))
}

/// Head of the sums of the rows that are found, and of no others.
pub fn total_found(found: usize) -> String {
    if found == 1 {
        say!("Total of the row that is found").to_owned()
    } else {
        say!("Total of the {found} rows that are found", found = format::count(found as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_say_what_they_are_of() {
        assert_eq!(total_found(1), "Total of the row that is found");
        assert_eq!(total_found(1_200), "Total of the 1,200 rows that are found");
        assert_eq!(found(3, 1_000), "3 of 1,000 rows found");
    }
}

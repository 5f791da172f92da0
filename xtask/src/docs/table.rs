//! A table between two marks of a page. Its first columns are made from the code; in the columns behind them people
//! write what the code does not say, and that text stays with its row's first column when the table is made anew.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

/// A table that is made from the code, at least in part.
#[derive(Debug)]
pub(super) struct Table {
    /// Path of the page, from the root.
    pub(super) page: &'static str,
    /// Names the table in its page's marks.
    pub(super) name: &'static str,
    /// Headings of the columns that are made.
    pub(super) made: &'static [&'static str],
    /// Headings of the columns that people write.
    pub(super) written: &'static [&'static str],
    /// Rows of the columns that are made: a cell for each of `made`, the first of which is the row's key.
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// The page with the table as it should be.
    pub(super) fn written_into(&self, page: &str) -> Result<String> {
        let (before, table, after) = self.parts(page)?;
        Ok(format!("{before}{}{after}", self.render(&self.texts(table))?))
    }

    /// Returns the faults of the table in its page.
    pub(super) fn faults(&self, page: &str) -> Result<Vec<String>> {
        let (_, table, _) = self.parts(page)?;
        let texts = self.texts(table);
        let mut faults = Vec::new();
        if self.render(&texts)? != table {
            faults.push(format!("{}: the table {} is stale", self.page, self.name));
        }
        for row in &self.rows {
            let key = key(row);
            let texts = texts.get(key).map(Vec::as_slice).unwrap_or_default();
            for (at, heading) in self.written.iter().enumerate() {
                if texts.get(at).is_none_or(String::is_empty) {
                    faults.push(format!("{}: {key}: write its {heading:?}", self.page));
                }
            }
        }
        for key in texts.keys().filter(|known| !self.rows.iter().any(|row| key(row) == known.as_str())) {
            faults.push(format!("{}: {key}: the code has no such thing", self.page));
        }
        Ok(faults)
    }

    /// Splits a page into the text before the table, the table, and the text behind it.
    fn parts<'p>(&self, page: &'p str) -> Result<(&'p str, &'p str, &'p str)> {
        let begin = format!("<!-- made by `cargo xtask docs`: {} -->\n", self.name);
        let end = format!("<!-- end: {} -->", self.name);
        let parts = page.split_once(&begin).and_then(|(before, rest)| {
            let (table, _) = rest.split_once(&end)?;
            let at = before.len() + begin.len();
            Some((page.get(..at)?, table, page.get(at + table.len()..)?))
        });
        parts.with_context(|| format!("{}: no marks {begin:?} and {end:?}", self.page))
    }

    /// Returns the texts that people have written, by row.
    fn texts(&self, table: &str) -> BTreeMap<String, Vec<String>> {
        let rows = table.lines().skip(2).map(cells);
        rows.filter_map(|cells| {
            let key = cells.first()?.clone();
            let texts = cells.into_iter().skip(self.made.len()).collect();
            Some((key, texts))
        })
        .collect()
    }

    fn render(&self, texts: &BTreeMap<String, Vec<String>>) -> Result<String> {
        let headings: Vec<_> = self.made.iter().chain(self.written).copied().collect();
        let mut table = format!("| {} |\n|{}\n", headings.join(" | "), "---|".repeat(headings.len()));
        let mut keys: Vec<&str> = Vec::new();
        for row in &self.rows {
            ensure!(row.len() == self.made.len(), "{}: {row:?}", self.name);
            ensure!(!keys.contains(&key(row)), "{}: {} twice", self.name, key(row));
            keys.push(key(row));
            let texts = texts.get(key(row)).map(Vec::as_slice).unwrap_or_default();
            let written =
                (0..self.written.len()).map(|at| texts.get(at).map(String::as_str).unwrap_or_default());
            table += "|";
            for cell in row.iter().map(String::as_str).chain(written) {
                table += &format!(" {} |", cell.replace('\n', " "));
            }
            table += "\n";
        }
        Ok(table)
    }
}

fn key(row: &[String]) -> &str {
    row.first().map(String::as_str).unwrap_or_default()
}

/// The cells of a row; a bar behind a backslash is part of a cell.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut is_escaped) = (Vec::new(), String::new(), false);
    for letter in line.trim().trim_start_matches('|').chars() {
        if letter == '|' && !is_escaped {
            cells.push(std::mem::take(&mut cell).trim().to_owned());
        } else {
            cell.push(letter);
        }
        is_escaped = letter == '\\';
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 2]]) -> Table {
        let rows = rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        Table { page: "page.md", name: "things", made: &["Name", "Type"], written: &["Meaning"], rows }
    }

    const PAGE: &str = "Before\n<!-- made by `cargo xtask docs`: things -->\n| Name | Type | Meaning |\n|---|---|---|\n\
                        | a | x | one \\| two |\n<!-- end: things -->\nAfter\n";

    #[test]
    fn what_people_wrote_stays_and_what_is_new_wants_a_text() {
        let table = table(&[["a", "y"], ["b", "x"]]);
        let faults = table.faults(PAGE).unwrap();
        assert_eq!(faults, ["page.md: the table things is stale", "page.md: b: write its \"Meaning\""]);
        let page = table.written_into(PAGE).unwrap();
        assert!(page.contains("| a | y | one \\| two |\n| b | x |  |\n<!-- end"), "{page}");
        assert!(page.starts_with("Before\n") && page.ends_with("-->\nAfter\n"), "{page}");
        assert_eq!(table.faults(&page).unwrap(), ["page.md: b: write its \"Meaning\""]);
    }

    #[test]
    fn a_line_for_what_the_code_no_longer_has_is_a_fault() {
        let faults = table(&[]).faults(PAGE).unwrap();
        assert!(faults.contains(&"page.md: a: the code has no such thing".to_owned()), "{faults:?}");
    }

    #[test]
    fn a_table_that_is_complete_has_no_fault() {
        assert!(table(&[["a", "x"]]).faults(PAGE).unwrap().is_empty());
        assert!(table(&[["a", "x"]]).faults("no marks").is_err());
        assert!(table(&[["a", "x"], ["a", "x"]]).written_into(PAGE).is_err(), "one row a name");
    }
}

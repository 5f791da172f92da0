//! Records with numbers: migrations, with the tables that they create, and decisions.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::source::sorted;
use super::table::Table;

const DECISIONS: &str = "docs/decisions";

/// Headings that every decision has, in this order.
const SECTIONS: [&str; 5] = ["## Context", "## Decision", "## Rejected", "## Cost", "## Proof"];

/// A row for each migration; people write what it does and what an upgrade has to heed.
pub(super) fn migrations(root: &Path) -> Result<Table> {
    let mut rows = Vec::new();
    for path in sorted(&root.join("migrations"))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".sql") {
            let (number, _) =
                stem.split_once('_').with_context(|| format!("migrations/{name}: no number"))?;
            rows.push(vec![number.to_owned(), format!("[`{name}`](../../migrations/{name})")]);
        }
    }
    ensure!(!rows.is_empty(), "no migration was found");
    Ok(Table {
        page: "docs/develop/migrations.md",
        name: "migrations",
        made: &["Number", "File"],
        written: &["What it does", "Kind", "Stop before"],
        rows,
    })
}

/// A row for each table that a migration creates, in that order.
pub(super) fn tables(root: &Path) -> Result<Table> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for path in sorted(&root.join("migrations"))? {
        let sql = fs::read_to_string(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.split_once('_').map(|(number, _)| number).unwrap_or_default();
        for created in created(&sql) {
            rows.push(vec![format!("`{created}`"), number.to_owned()]);
        }
    }
    Ok(Table {
        page: "docs/develop/data-model.md",
        name: "tables",
        made: &["Table", "Migration"],
        written: &["Holds", "Owner and writer", "Reader", "Kept"],
        rows,
    })
}

/// Names of the tables that a migration creates.
fn created(sql: &str) -> impl Iterator<Item = &str> {
    let statements = sql.lines().filter_map(|line| line.strip_prefix("CREATE TABLE "));
    let names =
        statements.filter_map(|rest| rest.trim_start_matches("IF NOT EXISTS ").split([' ', '(']).next());
    names.filter(|name| !name.is_empty())
}

/// A row for each decision: number, title, date and status, as its page has them.
pub(super) fn decisions(root: &Path) -> Result<Table> {
    let mut rows = Vec::new();
    for (name, text) in decision_pages(root)? {
        let title = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default();
        let (number, title) = title.split_once(". ").unwrap_or(("", title));
        let (date, status) = date_and_status(&text).unwrap_or_default();
        rows.push(vec![
            number.to_owned(),
            format!("[{title}]({name})"),
            date.to_owned(),
            status.trim_end_matches('.').to_owned(),
        ]);
    }
    Ok(Table {
        page: "docs/decisions/index.md",
        name: "decisions",
        made: &["Number", "Decision", "Date", "Status"],
        written: &[],
        rows,
    })
}

/// Returns the faults of pages of decisions.
pub(super) fn decision_faults(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for (name, text) in decision_pages(root)? {
        faults.extend(
            page_faults(&name, &text).into_iter().map(|fault| format!("{DECISIONS}/{name}: {fault}")),
        );
    }
    Ok(faults)
}

fn page_faults(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let number = name.split_once('-').map(|(number, _)| number).unwrap_or_default();
    if !text.starts_with(&format!("# {number}. ")) {
        faults.push(format!("its title does not begin with {number:?}"));
    }
    if date_and_status(text).is_none() {
        faults.push("its third line is not `Date: YYYY-MM-DD. Status: ….`".to_owned());
    }
    let headings: Vec<_> = text.lines().filter(|line| line.starts_with("## ")).collect();
    if headings != SECTIONS {
        faults.push(format!("its sections are {headings:?}, not {SECTIONS:?}"));
    }
    let empty = text.split("\n## ").skip(1).filter(|section| section.lines().skip(1).all(str::is_empty));
    faults.extend(
        empty.map(|section| format!("nothing below {:?}", section.lines().next().unwrap_or_default())),
    );
    faults
}

fn date_and_status(text: &str) -> Option<(&str, &str)> {
    let line = text.lines().nth(2)?.strip_prefix("Date: ")?;
    let (date, status) = line.split_once(". Status: ")?;
    let is_date = date.len() == 10 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    (is_date && !status.is_empty()).then_some((date, status))
}

/// The pages of decisions, by name.
fn decision_pages(root: &Path) -> Result<Vec<(String, String)>> {
    let mut pages = Vec::new();
    for path in sorted(&root.join(DECISIONS))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name != "index.md" {
            pages.push((name, fs::read_to_string(&path)?));
        }
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_those_that_migrations_create() {
        let sql = "CREATE TABLE one (\n  a text\n);\nCREATE TABLE IF NOT EXISTS two(b text);\n-- CREATE TABLE three (";
        assert_eq!(created(sql).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn a_decision_has_a_number_a_date_a_status_and_five_sections() {
        let page = "# 0001. Title\n\nDate: 2026-11-21. Status: in force.\n\n## Context\n\na\n\n## Decision\n\nb\n\n\
                    ## Rejected\n\nc\n\n## Cost\n\nd\n\n## Proof\n\ne\n";
        assert_eq!(page_faults("0001-title.md", page), Vec::<String>::new());
        assert_eq!(page_faults("0002-title.md", page).len(), 1);
        for (part, by) in
            [("2026-11-21", "today"), ("## Cost", "## Price"), ("\n\ne\n", "\n"), (". Status", "")]
        {
            assert_eq!(page_faults("0001-title.md", &page.replace(part, by)).len(), 1, "{part}");
        }
    }
}

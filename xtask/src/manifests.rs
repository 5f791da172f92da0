//! `cargo xtask manifests`: the Helm chart and the files of Compose, linted, rendered and validated with what PyPI has,
//! and held to the code: every setting and metric that they name exists, and no secret has a value in them.
//!
//! No cluster and no container runs here. What is promised is that the objects are those that Kubernetes knows,
//! strictly, in the oldest and the newest version that the validator has schemas for; that they fit each other; that
//! brokers take their configuration, and shells the scripts.
//!
//! - [`chart`]: rules for rendered objects
//! - [`compose`]: rules for a file of Compose

mod chart;
mod compose;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clickwire_services::{Programs, python_path};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::docs::Interface;
use crate::steps::print;
use crate::workspace;

const PACKAGES: [&str; 4] =
    ["helm-python-sdk==0.2.2", "kubernetes-validate==1.37.0", "compose-spec==0.2.1", "PyYAML==6.0.4"];
const RENDER: &str = include_str!("manifests/render.py");

const CHART: &str = "deploy/helm/clickwire";
const COMPOSE: [&str; 2] = ["docker-compose.yml", "deploy/compose/cluster.yml"];

/// The oldest that the chart asks for, and the newest with a schema.
const VERSIONS: [&str; 2] = ["1.29", "1.37"];

/// The order for the script.
#[derive(Serialize)]
struct Order<'a> {
    chart: &'a str,
    cases: BTreeMap<String, String>,
    refused: BTreeMap<&'a str, &'a str>,
    versions: &'a [&'a str],
    compose: &'a [&'a str],
}

/// The script's answer.
#[derive(Deserialize)]
struct Answer {
    /// Objects, by the file of values that they were rendered with.
    cases: BTreeMap<String, Vec<Value>>,
    notes: BTreeMap<String, String>,
    /// Reason for which values were refused; `None` if they were not.
    refused: BTreeMap<String, Option<String>>,
    compose: BTreeMap<String, Value>,
    faults: Vec<String>,
}

pub(crate) fn run() -> Result<()> {
    check()?;
    print("The chart and the files of Compose hold");
    Ok(())
}

/// Fails with everything that is wrong.
pub(crate) fn check() -> Result<()> {
    let root = workspace::root();
    let interface = Interface::read()?;
    let answer = render(root)?;
    let mut faults = answer.faults;
    for (case, objects) in &answer.cases {
        let found = chart::faults(objects, &interface);
        faults.extend(found.into_iter().map(|fault| format!("{CHART}, ci/{case}.yaml: {fault}")));
        ensure!(answer.notes.get(case).is_some_and(|notes| !notes.is_empty()), "{case}: no notes");
    }
    faults.extend(chart::lacking(&answer.cases));
    for (name, _, reason) in chart::REFUSED {
        match answer.refused.get(name).and_then(Option::as_deref) {
            None => faults.push(format!("{CHART}: values are not refused: {name}")),
            Some(said) if said.contains(reason) => {}
            Some(said) => faults.push(format!("{CHART}: {name}: refused for another reason: {said}")),
        }
    }
    faults.extend(chart::description_faults(&root.join(CHART), &interface)?);
    for (path, document) in &answer.compose {
        let text = std::fs::read_to_string(root.join(path)).with_context(|| path.clone())?;
        let found = compose::faults(&text, document, &interface);
        faults.extend(found.into_iter().map(|fault| format!("{path}: {fault}")));
        for (config, text) in compose::contents(document) {
            if let Some(fault) = refused_by_its_reader(&text)? {
                faults.push(format!("{path}: {config}: {fault}"));
            }
        }
    }
    if !faults.is_empty() {
        bail!("what is deployed with:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

fn render(root: &Path) -> Result<Answer> {
    let mut cases = BTreeMap::new();
    for entry in std::fs::read_dir(root.join(CHART).join("ci"))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        cases.insert(name, path.display().to_string());
    }
    ensure!(!cases.is_empty(), "{CHART}/ci has no values");
    let refused = chart::REFUSED.into_iter().map(|(name, values, _)| (name, values)).collect();
    let order = Order { chart: CHART, cases, refused, versions: &VERSIONS, compose: &COMPOSE };
    let mut python = Command::new("python3")
        .args(["-c", RENDER])
        .env("PYTHONPATH", python_path(&PACKAGES)?)
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run python3")?;
    python.stdin.take().context("no standard input")?.write_all(&serde_json::to_vec(&order)?)?;
    let output = python.wait_with_output()?;
    ensure!(output.status.success(), "the chart could not be rendered ({})", output.status);
    serde_json::from_slice(&output.stdout).context("what the script answers")
}

/// Returns the error of a shell or a broker about its script or its configuration.
fn refused_by_its_reader(text: &str) -> Result<Option<String>> {
    let file = std::env::temp_dir().join(format!("clickwire-manifest-{}", clickwire_services::secret()?));
    std::fs::write(&file, text)?;
    let mut command = if text.starts_with("#!/bin/sh") {
        let mut shell = Command::new("sh");
        shell.arg("-n");
        shell
    } else {
        let mut broker = Command::new(Programs::ensure(&|step| print(step))?.nats_server);
        broker.args(["-t", "-c"]).env("BROKER", "nats-1");
        broker
    };
    let output = command.arg(&file).output();
    std::fs::remove_file(&file)?;
    let output = output?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
    Ok((!output.status.success()).then_some(said))
}

//! Dependencies of the programs: held to `deny.toml`, and listed in bills of materials.
//!
//! Known vulnerabilities are a task of their own. They come to light without a change of ours, so a change
//! is not held up by them; and their database is a git repository that not every machine can reach.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail, ensure};
use clickwire_services::cache_folder;
use serde::Deserialize;

use crate::workspace;

/// The tools, in the versions that were tried.
const TOOLS: [&str; 2] = ["cargo-deny@0.20.2", "cargo-cyclonedx@0.5.9"];

/// Programs that are delivered: package and folder.
const PROGRAMS: [(&str, &str); 4] = [
    ("clickwire-server", "server"),
    ("clickwire-aggregator", "aggregator"),
    ("clickwire-lake", "lake"),
    ("clickwire-dashboard", "dashboard"),
];

/// End of the names of bills of materials, as the tool that writes them wants it.
const SUFFIX: &str = ".cdx";

/// A bill of materials (CycloneDX 1.5), as far as it is read here.
#[derive(Deserialize)]
struct Bill {
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    name: String,
    version: String,
}

/// Licences, sources and versions of all dependencies, as `deny.toml` has them.
pub(crate) fn check() -> Result<()> {
    let tools = tools()?;
    quietly(with(&tools, "deny").args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))
        .map(drop)
}

/// Vulnerable, unmaintained and yanked dependencies.
pub(crate) fn advisories() -> Result<()> {
    let status = with(&tools()?, "deny").args(["check", "advisories"]).status()?;
    ensure!(status.success(), "`cargo deny check advisories` failed");
    Ok(())
}

/// Writes a bill of materials for each program into `target/sbom`, and returns the folder. A bill that
/// lacks something that is compiled into the program is an error.
pub(crate) fn bills_of_materials() -> Result<PathBuf> {
    let (tools, root) = (tools()?, workspace::root());
    let target = workspace::debug_programs()?;
    let folder = target.parent().context("no target folder")?.join("sbom");
    fs::create_dir_all(&folder)?;
    for (package, path) in PROGRAMS {
        let manifest = format!("{path}/Cargo.toml");
        let name = format!("{package}{SUFFIX}");
        let mut write = with(&tools, "cyclonedx");
        write.args(["--quiet", "--manifest-path", &manifest, "--all", "--format", "json"]);
        write.args(["--spec-version", "1.5", "--override-filename", &name]);
        quietly(&mut write)?;
        let bill = folder.join(format!("{name}.json"));
        collect(root, &format!("{name}.json"), path, &bill)?;
        let listed: Bill = serde_json::from_slice(&fs::read(&bill)?).context("a bill of materials")?;
        let listed: BTreeSet<_> =
            listed.components.into_iter().map(|one| format!("{} v{}", one.name, one.version)).collect();
        let missing: Vec<_> = compiled_in(package)?.difference(&listed).cloned().collect();
        ensure!(missing.is_empty(), "{} lacks {}", bill.display(), missing.join(", "));
    }
    Ok(folder)
}

/// The tool writes beside the manifest of every member of the workspace; one of them is wanted.
fn collect(root: &Path, name: &str, wanted: &str, to: &Path) -> Result<()> {
    fs::rename(root.join(wanted).join(name), to).with_context(|| format!("no {name}"))?;
    let crates = fs::read_dir(root.join("crates"))?.filter_map(Result::ok).map(|entry| entry.path());
    let others = ["server", "aggregator", "lake", "dashboard", "xtask"].map(|member| root.join(member));
    for path in crates.chain(others).map(|member| member.join(name)).filter(|path| path.exists()) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Other people's packages in a program, as `name vVERSION`.
fn compiled_in(package: &str) -> Result<BTreeSet<String>> {
    let mut tree = workspace::cargo();
    tree.args(["tree", "--locked", "--package", package, "--edges", "normal", "--prefix", "none"]);
    let output = quietly(tree.args(["--no-dedupe", "--format", "{p}"]))?;
    let text = String::from_utf8(output.stdout)?;
    let packages = text.lines().map(|line| line.trim_end_matches(" (proc-macro)").to_owned());
    // Ours end in the folder that they lie in.
    Ok(packages.filter(|package| !package.is_empty() && !package.ends_with(')')).collect())
}

/// Installs the tools, unless they are there.
fn tools() -> Result<PathBuf> {
    let root = cache_folder()?.join("tools");
    let mut install = workspace::cargo();
    // They run for seconds: not worth being optimised, or debugged.
    install.args(["install", "--quiet", "--debug", "--locked", "--root"]).arg(&root).args(TOOLS);
    install.env("CARGO_PROFILE_DEV_DEBUG", "false").env("CARGO_INCREMENTAL", "0");
    quietly(&mut install)?;
    Ok(root)
}

/// A subcommand of cargo that one of the tools is.
fn with(tools: &Path, subcommand: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools.join("bin")).chain(std::env::split_paths(&path));
    let mut command = workspace::cargo();
    command
        .env("PATH", std::env::join_paths(folders).unwrap_or_else(|_| OsString::from(&path)))
        .arg(subcommand);
    command
}

/// Runs a command; what it says is in the error, if there is one.
fn quietly(command: &mut Command) -> Result<Output> {
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        let said = [output.stdout, output.stderr].concat();
        bail!("`cargo {}` failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&said).trim());
    }
    Ok(output)
}

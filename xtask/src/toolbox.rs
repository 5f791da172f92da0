//! Tools that only tests need and that can't come from a cache folder.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// A program, and the package of Debian that brings it.
pub(crate) type Program = (&'static str, &'static str);

/// A browser and its driver.
pub(crate) const BROWSER: [Program; 2] = [("chromium", "chromium"), ("chromedriver", "chromium-driver")];

/// The program that counts instructions.
pub(crate) const VALGRIND: Program = ("valgrind", "valgrind");

/// Installs programs that are missing, where we may.
pub(crate) fn ensure(programs: &[Program]) -> Result<()> {
    let missing = programs.iter().filter(|(program, _)| !is_on_path(program));
    let missing: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("{} missing: `sudo apt-get install {}`", missing.join(" and "), missing.join(" "));
    }
    apt_get(&["-qq", "update"])?;
    let mut install = vec!["-qq", "--yes", "--no-install-recommends", "install"];
    install.extend(missing);
    apt_get(&install)
}

/// Runs apt-get; its output is in the error, if there is one.
pub(crate) fn apt_get(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .context("cannot run apt-get")?;
    if !output.status.success() {
        bail!("apt-get {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

//! Tools that only tests need and that can't come from a cache folder.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// A browser and its driver, and a counter of instructions: programs, and Debian's packages that bring them.
const PROGRAMS: [(&str, &str); 3] =
    [("chromium", "chromium"), ("chromedriver", "chromium-driver"), ("valgrind", "valgrind")];

/// Installs what tests need of Debian's packages, where we may.
pub(crate) fn ensure_programs() -> Result<()> {
    let missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|(program, _)| !is_on_path(program))
        .map(|(_, package)| package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("the tests need {}: `sudo apt-get install {}`", missing.join(" and "), missing.join(" "));
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

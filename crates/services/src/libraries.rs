//! Packages from PyPI and npm for tests and benchmarks, with what they need, in the cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::apt::run;
use crate::{Error, cache_folder};

/// Attempts of this process, which may be under way at once.
static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

/// A folder to put on `PYTHONPATH` that has these packages, each named with its release as `name==1.2.3`, and what
/// they need; installed with pip unless an earlier run has done it.
///
/// # Errors
/// pip can't install them, or the cache folder can't be written to.
pub fn python_path(packages: &[&str]) -> Result<PathBuf, Error> {
    installed(&format!("python-{}", packages.join("-").replace("==", "-")), |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install"]);
        pip.args(["--only-binary=:all:", "--target"]).arg(folder).args(packages);
        pip
    })
}

/// A folder `node_modules` that has these packages of npm, each named with its release as `name@1.2.3`, and what they
/// need; installed with npm unless an earlier run has done it. No script of theirs is run meanwhile.
///
/// # Errors
/// npm can't install them, or the cache folder can't be written to.
pub fn node_modules(packages: &[&str]) -> Result<PathBuf, Error> {
    let folder = installed(&format!("node-{}", packages.join("-").replace('@', "-")), |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
        npm.arg(folder).args(packages);
        npm
    })?;
    Ok(folder.join("node_modules"))
}

/// The folder of this name in the cache, filled by a command unless it is there.
fn installed(name: &str, command: impl FnOnce(&Path) -> Command) -> Result<PathBuf, Error> {
    let place = cache_folder()?.join(name);
    if place.exists() {
        return Ok(place);
    }
    // Of this attempt alone: it appears under its name all at once.
    let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
    let partial = cache_folder()?.join(format!("packages-{}-{attempt}", std::process::id()));
    fs::create_dir_all(&partial).map_err(Error::io(|| format!("cannot create {}", partial.display())))?;
    run(&mut command(&partial))?;
    match fs::rename(&partial, &place) {
        // Another process was quicker.
        Err(_) if place.exists() => {
            fs::remove_dir_all(&partial)
                .map_err(Error::io(|| format!("cannot remove {}", partial.display())))?;
        }
        renamed => renamed.map_err(Error::io(|| format!("cannot create {}", place.display())))?,
    }
    Ok(place)
}

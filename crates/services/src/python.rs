//! Packages from PyPI for tests and benchmarks, in the cache folder.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::apt::run;
use crate::{Error, cache_folder};

/// A folder to put on `PYTHONPATH` that has these packages, each named with its release as `name==1.2.3`, and what
/// they need; installed with pip unless an earlier run has done it.
///
/// # Errors
/// pip can't install them, or the cache folder can't be written to.
pub fn python_path(packages: &[&str]) -> Result<PathBuf, Error> {
    let place = cache_folder()?.join(format!("python-{}", packages.join("-").replace("==", "-")));
    if place.exists() {
        return Ok(place);
    }
    // Of this process alone: it appears under its name all at once.
    let partial = cache_folder()?.join(format!("packages-{}", std::process::id()));
    run(Command::new("python3")
        .args([
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            "install",
            "--only-binary=:all:",
            "--target",
        ])
        .arg(&partial)
        .args(packages))?;
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

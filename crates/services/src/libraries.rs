//! Packages from PyPI for tests and benchmarks, in the cache folder.

use std::fs;
use std::path::PathBuf;
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
    let place = cache_folder()?.join(format!("python-{}", packages.join("-").replace("==", "-")));
    if place.exists() {
        return Ok(place);
    }
    // Of this attempt alone: it appears under its name all at once.
    let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
    let partial = cache_folder()?.join(format!("packages-{}-{attempt}", std::process::id()));
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

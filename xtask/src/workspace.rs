//! This checkout: where it is, and its cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The cargo that runs us, in the repository's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// A program built by `cargo build --release`. The target folder is the one that we lie in ourselves,
/// in `debug/`: wherever cargo's configuration has put it.
pub(crate) fn release_program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find our own program")?;
    let target = own.parent().and_then(Path::parent).context("our own program is not in a target folder")?;
    Ok(target.join("release").join(name))
}

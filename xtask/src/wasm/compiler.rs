//! Finds a compiler for WebAssembly on this machine, and compiles with it.
//!
//! In this order: the tool-chain's own target, if it is installed; any rustc new enough that has
//! the standard library's source beside it, which is then compiled too; Debian's packages of such
//! a rustc, installed where we are root. A person's rustup is never changed.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{toolbox, workspace};

const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's rustc for the web, and the source of its standard library.
const PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// Path at which these packages put it.
const PACKAGED: &str = "/usr/bin/rustc";

/// The compiler for [`TARGET`].
enum Compiler {
    /// The tool-chain has the target.
    Own,
    /// Another rustc, with the standard library from source.
    WithSource(OsString),
}

/// Compiles the dashboard into `target`, with the profile `wasm`.
pub(super) fn compile(target: &Path) -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo
        .args(["build", "--package", "clickwire-dashboard", "--bins"])
        .args(["--profile", "wasm", "--target", TARGET, "--target-dir"])
        .arg(target);
    // In a log of CI, a hundred crates are a hundred lines.
    if !std::io::stderr().is_terminal() {
        cargo.arg("--quiet");
    }
    if let Compiler::WithSource(rustc) = find()? {
        // The source is of the compiler's own release, so the unstable options fit it.
        cargo
            .args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"])
            .env("RUSTC", rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            // What a panic says is heard by nobody in a browser; what it would say is a twentieth of the program.
            .env(
                "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
                "-Zunstable-options -Cpanic=immediate-abort",
            )
            // Ours points into another tool-chain.
            .env_remove("LD_LIBRARY_PATH");
        if let Some(linker) = linker() {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
    }
    let status = cargo.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the dashboard does not compile ({status})");
    }
    Ok(())
}

fn find() -> Result<Compiler> {
    let own = own_rustc();
    if has_target(&own) {
        return Ok(Compiler::Own);
    }
    let with_source =
        || [own.clone(), PACKAGED.into()].into_iter().find(|rustc| is_new_enough(rustc) && has_source(rustc));
    if let Some(rustc) = with_source() {
        return Ok(Compiler::WithSource(rustc));
    }
    if rustix::process::geteuid().is_root() {
        let mut install = vec!["-qq", "--yes", "--no-install-recommends", "install"];
        install.extend(PACKAGES);
        toolbox::apt_get(&["-qq", "update"])
            .and_then(|()| toolbox::apt_get(&install))
            .with_context(|| advice("they can't be installed"))?;
        if let Some(rustc) = with_source() {
            return Ok(Compiler::WithSource(rustc));
        }
    }
    bail!(advice("neither is there"));
}

fn advice(problem: &str) -> String {
    format!(
        "the dashboard needs a compiler for WebAssembly, {problem}. Either of these gives one:\n    \
         rustup target add {TARGET}\n    sudo apt-get install {}",
        PACKAGES.join(" ")
    )
}

fn own_rustc() -> OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn has_target(rustc: &OsString) -> bool {
    let Some(folder) = print(rustc, &["--print", "target-libdir", "--target", TARGET]) else {
        return false;
    };
    std::fs::read_dir(folder).is_ok_and(|mut entries| {
        entries
            .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libcore-")))
    })
}

fn has_source(rustc: &OsString) -> bool {
    print(rustc, &["--print", "sysroot"])
        .is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/std").is_dir())
}

/// Returns whether it is at least the release that the workspace asks for.
fn is_new_enough(rustc: &OsString) -> bool {
    print(rustc, &["--version"]).is_some_and(|version| {
        let release = version.split_whitespace().nth(1).and_then(release);
        release.is_some_and(|release| Some(release) >= self::release(env!("CARGO_PKG_RUST_VERSION")))
    })
}

/// `1.95.0` → (1, 95).
fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The tool-chain's own linker, which a packaged rustc does not have.
fn linker() -> Option<PathBuf> {
    let sysroot = PathBuf::from(print(&own_rustc(), &["--print", "sysroot"])?);
    let entries = std::fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("bin/rust-lld"))
        .find(|linker| linker.is_file())
}

/// Returns the output of a rustc, if it runs at all.
fn print(rustc: &OsString, arguments: &[&str]) -> Option<String> {
    let output = Command::new(rustc).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn releases_compare_as_numbers() {
        assert_eq!(release("1.95.0"), Some((1, 95)));
        assert!(release("1.100.0-nightly") > release("1.95"));
        assert_eq!(release("nonsense"), None);
    }
}

//! Unpacked programs expect a newer C library than Debian 12 has, at the system's own path. Here
//! they are told to use the one that was unpacked with them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::apt::run;

/// Points programs below `unpacked` to the C library and libraries in it, by the path they will have
/// once `unpacked` is moved to `root`. An RPATH, unlike a RUNPATH, also serves what the libraries
/// themselves load, such as PostgreSQL's extensions.
pub(crate) fn relocate<'a>(
    unpacked: &Path,
    root: &Path,
    programs: impl Iterator<Item = &'a PathBuf>,
) -> Result<(), Error> {
    let (libraries, loader) = find_loader(unpacked)?;
    let final_libraries = root.join(libraries.strip_prefix(unpacked).unwrap_or(&libraries));
    for program in programs {
        // Through the loader, for patchelf needs the newer C library, too.
        let mut patchelf = Command::new(libraries.join(&loader));
        patchelf
            .arg("--library-path")
            .arg(&libraries)
            .arg(unpacked.join("usr/bin/patchelf"))
            .arg("--set-interpreter")
            .arg(final_libraries.join(&loader))
            .args(["--force-rpath", "--set-rpath"])
            .arg(&final_libraries)
            .arg(program);
        run(&mut patchelf)?;
    }
    Ok(())
}

/// The folder of libraries, named after the architecture, and the file name of the loader in it.
fn find_loader(unpacked: &Path) -> Result<(PathBuf, OsString), Error> {
    let usr_lib = unpacked.join("usr/lib");
    let files = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    for folder in files(&usr_lib).map(|folder| folder.path()) {
        let loader = files(&folder).map(|file| file.file_name()).find(|name| {
            let name = name.to_string_lossy();
            name.starts_with("ld-linux") && name.contains(".so")
        });
        if let Some(loader) = loader {
            return Ok((folder, loader));
        }
    }
    Err(Error::CannotInstall(format!("no C library was unpacked below {}", usr_lib.display())))
}

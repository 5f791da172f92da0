//! A file that one server has for itself.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use thiserror::Error as ThisError;

/// The reason why a file can't be had.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    #[error("another server uses it; each needs one of its own")]
    InUse,
    #[error(transparent)]
    File(#[from] io::Error),
}

/// Opens a file for reading and writing, or begins an empty one, and locks it until it is closed. Its name outlives a
/// power cut.
pub(super) fn open(path: &Path) -> Result<File, Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut options = OpenOptions::new();
    // Whose clicks they are is nobody's business.
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::InUse),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    File::open(folder)?.sync_all()?;
    Ok(file)
}

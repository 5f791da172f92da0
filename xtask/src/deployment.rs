//! Files that `up` leaves on disk for the next `up`, and for `down` and `status`.
//!
//! One `up` at a time: it holds a lock on `lock`, which ends with the process however that ends, and
//! writes its process id into it. So a locked file names a process that is ours, never a stale id.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clickwire_services::secret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::status::Status;

/// Advertisers of the demo data; the link that is printed is the first one's.
pub(crate) const ADVERTISERS: [&str; 3] = ["adv_001", "adv_002", "adv_003"];

/// Accounts of the demo, which have one password: login, role, and the advertiser that it sees.
pub(crate) const ACCOUNTS: [(&str, &str, Option<&str>); 2] =
    [("demo", "advertiser", Some(ADVERTISERS[0])), ("root", "admin", None)];

/// A data folder.
pub(crate) struct Deployment {
    folder: PathBuf,
}

/// Keys that are made up once for a data folder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) ingest_key: String,
    pub(crate) admin_token: String,
    pub(crate) ip_hash_key: String,
    /// Password of the demo's accounts; folders of earlier versions have none.
    #[serde(default)]
    pub(crate) password: String,
    /// Tokens in the order of [`ADVERTISERS`].
    pub(crate) viewer_tokens: [String; ADVERTISERS.len()],
}

/// The right to run; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Deployment {
    pub(crate) fn locate(wanted: Option<PathBuf>) -> Result<Self> {
        let folder = match wanted {
            Some(folder) => folder,
            None if rustix::process::geteuid().is_root() => PathBuf::from("/var/lib/clickwire"),
            None => state_home().context("no folder for data: set CLICKWIRE_DATA or HOME")?.join("clickwire"),
        };
        let folder =
            std::path::absolute(&folder).with_context(|| format!("cannot use {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Creates the folder. Others may pass through it (as root, the servers run as another user),
    /// but not look around.
    pub(crate) fn create(&self) -> Result<()> {
        for folder in [&self.folder, &self.logs()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o711)
                .create(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(())
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// Returns the log of a detached `up`.
    pub(crate) fn detached_log(&self) -> PathBuf {
        self.folder.join("up.log")
    }

    pub(crate) fn services(&self) -> PathBuf {
        self.folder.join("services")
    }

    /// Returns the file in which clicks wait while the broker is away.
    pub(crate) fn spool(&self) -> PathBuf {
        self.folder.join("spool.redb")
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.folder.join("server.wal")
    }

    /// The lake's files.
    pub(crate) fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    /// Removes data and keys.
    pub(crate) fn wipe(&self) -> Result<()> {
        let data = self.services();
        absent(fs::remove_dir_all(&data)).with_context(|| format!("cannot remove {}", data.display()))?;
        absent(fs::remove_dir_all(self.lake())).context("cannot remove the lake")?;
        absent(fs::remove_file(self.spool())).context("cannot remove the spool")?;
        absent(fs::remove_file(self.wal())).context("cannot remove the write-ahead log")?;
        absent(fs::remove_file(self.secrets_file())).context("cannot remove the keys")
    }

    /// Logs are those of one run.
    pub(crate) fn clear_logs(&self) -> Result<()> {
        let logs = self.logs();
        absent(fs::remove_dir_all(&logs)).with_context(|| format!("cannot remove {}", logs.display()))?;
        self.create()
    }

    /// `None` if an `up` runs already.
    pub(crate) fn lock(&self) -> Result<Option<Lock>> {
        let path = self.lock_file();
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => bail!("cannot lock {}: {error}", path.display()),
            Ok(()) => {}
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Some(Lock { _file: file }))
    }

    /// The process that holds the lock.
    pub(crate) fn holder(&self) -> Result<Option<u32>> {
        let path = self.lock_file();
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
        };
        // A shared lock, so that asking doesn't look like holding to somebody else who asks.
        if file.try_lock_shared().is_ok() {
            return Ok(None);
        }
        // Empty for the moment between locking and writing.
        Ok(fs::read_to_string(&path)?.trim().parse().ok())
    }

    pub(crate) fn secrets(&self) -> Result<Secrets> {
        let path = self.secrets_file();
        if let Some(mut secrets) = read::<Secrets>(&path)? {
            if secrets.password.is_empty() {
                secrets.password = secret()?;
                write_privately(&path, &secrets)?;
            }
            return Ok(secrets);
        }
        let secrets = Secrets {
            password: secret()?,
            ingest_key: secret()?,
            admin_token: secret()?,
            ip_hash_key: secret()?,
            viewer_tokens: [secret()?, secret()?, secret()?],
        };
        write_privately(&path, &secrets)?;
        Ok(secrets)
    }

    /// Returns the running deployment; `None` before it is ready, and after it has stopped.
    pub(crate) fn status(&self) -> Result<Option<Status>> {
        read(&self.status_file())
    }

    pub(crate) fn set_status(&self, status: &Status) -> Result<()> {
        write_privately(&self.status_file(), status)
    }

    pub(crate) fn clear_status(&self) -> Result<()> {
        absent(fs::remove_file(self.status_file())).context("cannot remove the status")
    }

    fn lock_file(&self) -> PathBuf {
        self.folder.join("lock")
    }

    /// The file of the keys, which its owner alone can read.
    pub(crate) fn secrets_file(&self) -> PathBuf {
        self.folder.join("secrets.json")
    }

    fn status_file(&self) -> PathBuf {
        self.folder.join("status.json")
    }
}

fn state_home() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))
}

fn absent(removed: std::io::Result<()>) -> std::io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let value =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged: remove it", path.display()))?;
    Ok(Some(value))
}

/// Writes a file that only its owner can read, and that is complete at any time.
fn write_privately(path: &Path, value: &impl Serialize) -> Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .with_context(|| format!("cannot write {}", unfinished.display()))?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_up_at_a_time_and_keys_that_stay() {
        let folder = std::env::temp_dir().join(format!("clickwire-xtask-{}", secret().unwrap()));
        let deployment = Deployment::locate(Some(folder.clone())).unwrap();
        assert_eq!(deployment.holder().unwrap(), None);
        deployment.create().unwrap();

        let lock = deployment.lock().unwrap();
        assert!(lock.is_some() && deployment.lock().unwrap().is_none());
        assert_eq!(deployment.holder().unwrap(), Some(std::process::id()));
        drop(lock);
        assert_eq!(deployment.holder().unwrap(), None);

        let secrets = deployment.secrets().unwrap();
        assert_eq!(deployment.secrets().unwrap(), secrets);
        let mode = fs::metadata(deployment.secrets_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        deployment.wipe().unwrap();
        assert_ne!(deployment.secrets().unwrap(), secrets);
        fs::remove_dir_all(folder).unwrap();
    }
}

